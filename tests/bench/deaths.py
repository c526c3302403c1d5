"""The row about the daemon's own death.

Owns: how long nobody answers. Never: looks at an app; the tests do.
"""
import os
import signal
import socket
import statistics
import time

import probe
from lifecycle import many
from supervisors import Stead


def revive(bench):
    """From `kill -9` for the daemon to a daemon that answers and knows all of its apps."""
    count, times = bench.scale(300), bench.scale(40)
    if not bench.has(Stead):
        return
    with bench.attempt(Stead), bench.boot(Stead) as peer:
        starts, apps = many(bench, peer, count)
        peer.start(apps)
        starts.wait(count, f"{count} first runs")
        path = os.path.join(peer.env["STEAD_RUNTIME_DIR"], "private")
        before, taken = lives(peer), []
        for _ in range(times):
            # One that dies right after its start is started again after a while only.
            time.sleep(0.5)
            pid = next(pid for pid in peer.own_pids() if probe.program(pid) == "steadd")
            begun = probe.now_ns()
            os.kill(pid, signal.SIGKILL)
            # Its socket takes connections as long as any of its threads is not quite dead.
            while os.path.exists(f"/proc/{pid}") or not answers(path):
                time.sleep(0.001)
            peer.list_json()
            taken.append((probe.now_ns() - begun) / 1e6)
        changed = len(before ^ lives(peer))
        bench.note(f"    median {statistics.median(taken):.1f} ms, from {min(taken):.1f} to {max(taken):.1f}")
        bench.figure(f"daemon dead to serving again, {count} apps", "ms", {"stead": statistics.median(taken)}, "< 150",
                     lambda: statistics.median(taken) < 150)
        bench.figure("apps that it changed anything of", "", {"stead": changed}, "0", lambda: changed == 0)


def lives(peer):
    return {(row["instance"], row["pid"], row["restarts"], row["status"]) for row in peer.list_json()}


def answers(path):
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True
