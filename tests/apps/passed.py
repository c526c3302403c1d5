"""Answers on the sockets that it is given (sd_listen_fds): who it is, and which of them this was. SIGTERM ends it
between two answers."""
import os
import select
import signal
import socket
import sys

assert int(os.environ["LISTEN_PID"]) == os.getpid(), os.environ["LISTEN_PID"]
names = os.environ["LISTEN_FDNAMES"].split(":")
assert len(names) == int(os.environ["LISTEN_FDS"])
listeners = {fd: socket.socket(fileno=fd) for fd in range(3, 3 + len(names))}
for listener in listeners.values():
    # That of a path is everybody's: another instance may be faster.
    listener.setblocking(False)
stop, stopping = os.pipe()
os.set_blocking(stopping, False)
signal.set_wakeup_fd(stopping)
signal.signal(signal.SIGTERM, lambda *_: None)
while True:
    ready = select.select([stop, *listeners], [], [])[0]
    if stop in ready:
        sys.exit(0)
    for fd in ready:
        try:
            connection, _ = listeners[fd].accept()
        except BlockingIOError:
            continue
        with connection:
            connection.sendall(f"{os.environ['STEAD_INSTANCE']} {os.getpid()} {names[fd - 3]}\n".encode())
