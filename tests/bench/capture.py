"""The rows about log capture: how fast, how dear, and whether every line is there.

Owns: what is printed, and when the files hold it. Never: knows how a supervisor captures.
"""
import os
import statistics
import time

import loglines
import probe
from supervisors import App, Stead

LENGTH = 100


def state(peer, apps):
    """How many bytes the files of the apps hold, and when the last came, by the wall clock."""
    total, last = 0, 0
    for app in apps:
        for path in peer.log_files(app):
            try:
                seen = os.stat(path)
            except OSError:
                continue
            total, last = total + seen.st_size, max(last, seen.st_mtime_ns)
    return total, last


def warm(directory, count):
    """Has `count` bytes of memory ready for the page cache. A virtual machine that gives free memory back to its host
    pays for a page when it is touched again, several times what a write costs: who comes first would pay for all."""
    path, piece = os.path.join(directory, "warm"), bytes(1 << 20)
    with open(path, "wb", buffering=0) as file:
        for _ in range(count >> 20):
            file.write(piece)
    os.unlink(path)


def capture(bench, peer, kind, label, programs, lines):
    """Starts `programs` apps that print `lines` lines each and exit; lines/s, CPU s per GB, what became of the lines.

    Both are counted from the first line printed, so that no supervisor's own start is in them."""
    marks = os.path.join(peer.dir, f"{label}-marks")
    open(marks, "w", encoding="utf-8").close()
    apps = [App(f"{label}{number}", [bench.app("logger"), str(lines), str(LENGTH), f"tag=T{number}", f"file={marks}"],
                autorestart=False, logs=True) for number in range(programs)]
    warm(peer.dir, 4 * programs * lines * LENGTH)
    known = peer.own_pids()
    peer.start(apps)
    probe.until(lambda: os.stat(marks).st_size, "the first program")
    spent = sum(probe.cpu_ns(pid) for pid in known or peer.own_pids())
    # Done when every program has ended and the files have not grown for a while. The time is that of the last growth, as
    # the files have it: to look often would take part of a CPU from who is measured.
    seen, limit = None, time.monotonic() + 240
    while (now := state(peer, apps)) != seen or probe.read(marks).count("\n") < 2 * programs:
        if time.monotonic() > limit:
            bench.note("    the programs have not ended after 240 s")
            break
        seen = now
        time.sleep(1)
    spent = peer.cpu() - spent
    begun = min(int(line.split()[0]) for line in probe.read(marks).splitlines())
    taken = now[1] - (time.time_ns() - probe.now_ns()) - begun
    rate = programs * lines / max(1, taken) * 1e9
    per_gb = spent / 1e9 / (programs * lines * LENGTH / 1e9)
    tally = loglines.Tally()
    for number, app in enumerate(apps):
        tally.add(loglines.check(peer.log_files(app), kind.name, f"T{number}", lines, LENGTH))
    bench.note(f"    {rate / 1e6:.2f} M lines/s, {per_gb:.2f} CPU s per GB; wrong: {tally}")
    return rate / 1e6, per_gb, tally


def logs(bench):
    cases = (("one", "1 app", 1, bench.scale(2_000_000)), ("ten", "10 apps at once", 10, bench.scale(200_000)))
    for label, words, programs, lines in cases:
        rates, costs, wrong = {}, {}, {}
        for kind in bench.rounds():
            with bench.attempt(kind), bench.boot(kind) as peer:
                rate, cost, tally = capture(bench, peer, kind, label, programs, lines)
                rates.setdefault(kind.name, []).append(rate)
                costs.setdefault(kind.name, []).append(cost)
                wrong.setdefault(kind.name, loglines.Tally()).add(tally)
        rates, costs = ({name: statistics.median(all_) for name, all_ in of.items()} for of in (rates, costs))
        what = f"log capture, {words}, {programs * lines} lines"
        bench.figure(what, "M lines/s", rates, "≥ supervisord",
                     lambda rates=rates: rates["stead"] >= rates["supervisord"])
        bench.figure(f"{what}: CPU", "s/GB", costs, "< 2", lambda costs=costs: costs["stead"] < 2)
        verdict(bench, f"{what}: lines wrong", wrong)
    tails(bench)


def tails(bench):
    """Programs that print 10,000 lines and exit, ten at once."""
    rounds, wrong = bench.scale(5), {}
    for kind in bench.supervisors():
        total = loglines.Tally()
        for number in range(rounds if kind is Stead else 1):
            with bench.attempt(kind), bench.boot(kind) as peer:
                total.add(capture(bench, peer, kind, f"tail{number}-", 10, 10_000)[2])
        wrong[kind.name] = total
    verdict(bench, "10 programs print 10000 lines and exit: lines wrong", wrong)


def verdict(bench, what, wrong):
    clean = wrong["stead"].clean() if "stead" in wrong else False
    bench.figure(what, "", {name: str(tally) for name, tally in wrong.items()}, "none", lambda: clean)
