"""Runs a command on a terminal of its own and types a password when it is asked for one.

    typed.py PASSWORD COMMAND [ARG...]

Prints what the terminal shows; the exit status is the command's.
"""
import os
import pty
import sys
import termios
import time

seen = b""
typed = False


def read(terminal):
    global seen, typed
    data = os.read(terminal, 4096)
    seen += data
    if not typed and b"Password:" in seen:
        typed = True
        # What is typed before the echo is off is thrown away.
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            time.sleep(0.01)
        os.write(terminal, sys.argv[1].encode() + b"\n")
    return data


status = pty.spawn(sys.argv[2:], read, lambda _: b"")
sys.exit(os.waitstatus_to_exitcode(status))
