"""As much of systemd as the holder speaks with: runs a program, keeps the descriptors it gives (FDSTORE, FDSTOREREMOVE),
and when it is killed waits for its helpers, reaps what it left, and starts it again with all of them (LISTEN_FDS).

    service-manager.py DIR PROGRAM

Everything heard is appended to DIR/heard, one line a message. A file DIR/hold keeps the program from being started again.
"""

import ctypes
import os
import signal
import socket
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

directory, program = sys.argv[1:]
address = os.path.join(directory, "notify-socket")
inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
inbox.bind(address)
inbox.settimeout(0.02)
store = []


def hear():
    try:
        data, fds, _, _ = socket.recv_fds(inbox, 4096, 16)
    except TimeoutError:
        return False
    fields = dict(line.split("=", 1) for line in data.decode().splitlines())
    with open(os.path.join(directory, "heard"), "a") as heard:
        heard.write(" ".join(data.decode().splitlines()) + "\n")
    name = fields.get("FDNAME", "stored")
    if "FDSTORE" in fields:
        assert fields["FDPOLL"] == "0" and len(fds) == 1
        store.append((name, fds[0]))
    elif "FDSTOREREMOVE" in fields:
        for entry in [entry for entry in store if entry[0] == name]:
            os.close(entry[1])
            store.remove(entry)
    return True


def start():
    high = [os.dup2(fd, 500 + at, inheritable=False) for at, (_, fd) in enumerate(store)]
    pid = os.fork()
    if pid:
        for fd in high:
            os.close(fd)
        return pid
    environment = dict(os.environ, NOTIFY_SOCKET=address, WATCHDOG_USEC="1000000")
    for at, fd in enumerate(high):
        os.dup2(fd, 3 + at, inheritable=True)
    if store:
        names = ":".join(name for name, _ in store)
        environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(store)), LISTEN_FDNAMES=names)
    os.execve(program, [program], environment)


def daemon_lives():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1]
            if parent == str(os.getpid()) and open(f"/proc/{pid}/comm").read().strip() == "steadd":
                return True
        except OSError:
            pass
    return False


def reap(wanted):
    """Reaps what is dead; whether that was among it."""
    found = False
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found = found or pid == wanted


signal.signal(signal.SIGTERM, lambda *_: os.kill(main, signal.SIGTERM))
main = start()
while True:
    hear()
    dead = reap(main)
    if dead:
        while hear():
            pass
        # A farewell has taken everything out of the store.
        if not store:
            sys.exit(0)
        while daemon_lives() or os.path.exists(os.path.join(directory, "hold")):
            reap(0)
            time.sleep(0.01)
        reap(0)
        main = start()
