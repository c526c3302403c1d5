"""The rows about watching stead: `stead monit` on a screen, and what a scrape of its figures takes.

Owns: a terminal for it, and what is counted. Nobody else has either, so there are no peers here.
"""
import fcntl
import os
import pty
import select
import socket
import statistics
import struct
import subprocess
import termios
import threading
import time

import probe
from lifecycle import many
from supervisors import Stead


def watch(bench):
    """300 instances on a screen: until the first of them is seen, and what a minute of looking on costs."""
    count, seconds = bench.scale(300), 5 if bench.quick else 60
    with bench.boot(Stead) as peer:
        starts, apps = many(bench, peer, count)
        peer.start(apps)
        starts.wait(count, f"{count} first runs")
        time.sleep(3)
        for width, height in ((80, 24), (200, 60)):
            at = f"{width}x{height}"
            first = statistics.median(first_frame(peer, width, height) for _ in range(bench.scale(20)))
            own, daemon, written = look_on(peer, width, height, seconds)
            bench.note(f"    {at}: first frame {first:.1f} ms; monit {own:.2f} % of a core, daemon {daemon:.2f} %, "
                       f"{written:.0f} bytes a second to the terminal")
            bench.figure(f"monit, {count} instances, {at}: first frame with all of them", "ms", {"stead": first},
                         "< 150", lambda first=first: first < 150)
            bench.figure(f"monit, {count} instances, {at}: CPU of a core, monit and daemon", "%",
                         {"stead": own + daemon}, "< 3", lambda used=own + daemon: used < 3)


class Screen:
    """`stead monit` in a pseudo-terminal that is read all the time."""

    def __init__(self, peer, width, height):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.began = probe.now_ns()
        self.process = subprocess.Popen([peer.stead, "monit"], env=dict(peer.env, TERM="xterm"), stdin=slave,
                                        stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def read_until(self, text, limit=10):
        """When `text` came."""
        seen, end = b"", time.monotonic() + limit
        while text not in seen:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"{text} is not on the screen: {seen[-300:]}")
            seen += os.read(self.master, 1 << 16)
        return probe.now_ns()

    def close(self):
        os.write(self.master, b"q")
        try:
            # What it says while it ends must go somewhere.
            while os.read(self.master, 1 << 16):
                pass
        except OSError:
            pass
        self.process.wait(10)
        os.close(self.master)


def first_frame(peer, width, height):
    screen = Screen(peer, width, height)
    came = screen.read_until(b"app000/0")
    screen.close()
    return (came - screen.began) / 1e6


def look_on(peer, width, height, seconds):
    """Shares of a core in percent, of it and of the daemon, and bytes a second that the terminal gets."""
    screen = Screen(peer, width, height)
    screen.read_until(b"app000/0")
    written, stop = [0], threading.Event()

    def drain():
        while not stop.is_set():
            if select.select([screen.master], [], [], 0.2)[0]:
                written[0] += len(os.read(screen.master, 1 << 16))

    thread = threading.Thread(target=drain)
    thread.start()
    time.sleep(2)
    pids = peer.own_pids()
    own = probe.cpu_ns(screen.process.pid)
    daemon, bytes_before, began = sum(map(probe.cpu_ns, pids)), written[0], probe.now_ns()
    time.sleep(seconds)
    took = probe.now_ns() - began
    shares = [(probe.cpu_ns(screen.process.pid) - own) / took * 100,
              (sum(map(probe.cpu_ns, pids)) - daemon) / took * 100]
    rate = (written[0] - bytes_before) / (took / 1e9)
    stop.set()
    thread.join()
    screen.close()
    return *shares, rate


def scrape(bench):
    """One scrape of 300 instances over the socket, what a scrape costs, and that the endpoint costs nothing at rest."""
    count, scrapes, seconds = bench.scale(300), bench.scale(20), 5 if bench.quick else 30
    with bench.boot(Stead) as peer:
        path = os.path.join(peer.dir, "metrics.sock")
        with open(os.path.join(peer.dir, "config", "stead.toml"), "w", encoding="utf-8") as file:
            file.write(f'metrics_socket = "{path}"\n')
        daemon = [pid for pid in peer.own_pids() if probe.program(pid) == "steadd"]
        peer.run(peer.stead, "upgrade")
        probe.until(lambda: [pid for pid in peer.own_pids() if probe.program(pid) == "steadd"] not in ([], daemon)
                    and os.path.exists(path), "the next daemon")
        starts, apps = many(bench, peer, count)
        peer.start(apps)
        starts.wait(count, f"{count} first runs")
        time.sleep(3)
        pids = peer.own_pids()
        before, times, size = sum(map(probe.cpu_ns, pids)), [], 0
        for _ in range(scrapes):
            began = probe.now_ns()
            size = fetch(path)
            times.append((probe.now_ns() - began) / 1e6)
            # Those who ask sooner share one answer.
            time.sleep(1)
        cost = (sum(map(probe.cpu_ns, pids)) - before) / 1e6 / scrapes
        time.sleep(3)
        rest = [(probe.switches(pid), probe.cpu_exact_ns(pid)) for pid in pids]
        time.sleep(seconds)
        woken = sum(probe.switches(pid) - switches for pid, (switches, _) in zip(pids, rest))
        bench.note(f"    median {statistics.median(times):.1f} ms, {size >> 10} KiB, {cost:.1f} CPU ms each")
        bench.figure(f"scrape of {count} instances", "ms", {"stead": statistics.median(times)}, "< 100",
                     lambda: statistics.median(times) < 100)
        bench.figure(f"scrape of {count} instances: CPU", "ms", {"stead": cost}, "< 100", lambda: cost < 100)
        bench.figure(f"metrics served, nobody asks, {seconds} s: context switches", "", {"stead": woken}, "0",
                     lambda: woken == 0)


def fetch(path):
    """How long the answer was."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: stead\r\n\r\n")
    size = 0
    while piece := client.recv(1 << 16):
        size += len(piece)
    client.close()
    return size
