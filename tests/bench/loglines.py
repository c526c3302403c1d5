"""What came out in the log files, against what `logger` printed.

Owns: the check of every line. Never: measures time, nor forgives.
"""
import re
from dataclasses import dataclass

LINE = re.compile(rb"(\S+) (\d{12}) ([a-z]+)$")
# stead's own life-cycle events stand in the same stream.
EVENT = b" [stead] "
FILLING = [bytes([letter]) * 200 for letter in range(ord("a"), ord("z") + 1)]
# How long the logger of each makes what stands before a line: CRI `time stdout F `, svlogd -tt, s6-log T.
PREFIX = {"stead": 40, "runit": 26, "s6": 31, "supervisord": 0, "pm2": 0}


@dataclass
class Tally:
    right: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    disordered: int = 0

    def clean(self):
        return not (self.lost or self.doubled or self.torn or self.disordered)

    def add(self, other):
        for field in vars(self):
            setattr(self, field, getattr(self, field) + getattr(other, field))

    def __str__(self):
        if self.clean():
            return "none"
        return ", ".join(f"{count} {what}" for what, count in vars(self).items() if count and what != "right")


def expected(tag, number, length):
    head = b"%s %012d " % (tag, number)
    return head + FILLING[number % 26][: length - 1 - len(head)]


def well_formed(line, supervisor):
    """Whether what stands before the printed line is what the format says."""
    return supervisor != "stead" or (line[29:40] == b"Z stdout F " and line[10:11] == b"T")


def check(paths, supervisor, tag, lines, length=100):
    """Reads an app's files, oldest first, and accounts for each of its `lines` lines."""
    tag, tally, seen, at = tag.encode(), Tally(), set(), 0
    prefix, size = PREFIX[supervisor], PREFIX[supervisor] + length - 1
    for path in paths:
        try:
            file = open(path, "rb")
        except FileNotFoundError:
            continue
        with file:
            for line in file:
                line = line[:-1] if line.endswith(b"\n") else line
                whole = len(line) == size and well_formed(line, supervisor)
                if whole and line[prefix:] == expected(tag, at, length):
                    at += 1
                    tally.right += 1
                    continue
                if EVENT in line:
                    continue
                found = LINE.search(line) if whole else None
                number = int(found[2]) if found and found[1] == tag else -1
                if not 0 <= number < lines or line[prefix:] != expected(tag, number, length):
                    tally.torn += 1
                elif number < at and number not in seen:
                    tally.doubled += 1
                elif number < at:
                    # It was missing until now.
                    seen.discard(number)
                    tally.disordered += 1
                else:
                    seen.update(range(at, number))
                    at = number + 1
                    tally.right += 1
    tally.lost = len(seen) + max(0, lines - at)
    return tally
