"""The rows about a port that many instances share.

Owns: what is counted while instances are replaced, killed and asked. Never: knows how a supervisor is asked.
"""
import os
import re
import shutil
import signal
import statistics
import subprocess
import time
from datetime import datetime

import probe
from servers import (NAME, SERVING, Bare, Load, NodeCluster, Server, ServedByPm2, ServedByStead, free_port, node,
                     steady)

RATE = 1000
MODES = {"fresh": "a connection each", "pause=2000": "kept, 2 s pauses", "keep": "kept, no pauses"}
LOST = ("refused", "reset", "timed_out", "short", "closed", "bad_status", "other", "no_address")


def contestants(bench, *only):
    """Those that can serve, of those that take part in the bench."""
    found = [kind for base, kinds in SERVING.items() if bench.has(base) for kind in kinds]
    return [kind for kind in found if not only or kind in only]


def text_of(result):
    counts = ", ".join(f"{result[name]} {name}" for name in LOST if result[name])
    return f"{result['lost']} lost of {result['requests']}{f' ({counts})' * bool(counts)}, {result['retried']} sent again"


def gaps_of(result):
    return f"gaps p99 {result['gap_us']['p99'] / 1000:.2f} ms, longest {result['gap_us']['max'] / 1000:.1f} ms"


def reload(bench):
    """Requests lost in reloads under load: instances, handling of the signal and kind of client in all combinations."""
    for instances in (2, 1):
        for handles in (True, False):
            for mode, clients in MODES.items():
                reloads(bench, instances, handles, mode, clients)


def reloads(bench, instances, handles, mode, clients):
    lost, again, gaps = {}, {}, {}
    ours = bench.scale(20)
    for kind in contestants(bench):
        with bench.attempt(kind), bench.boot(kind) as peer:
            times = ours if kind is ServedByStead else min(5, ours)
            server = node(free_port(), instances, handles)
            steady(peer, server)
            # Those that pause ask rarely, and who asks steadily never pauses.
            words = (mode, server.port, *(("clients=16",) if "=" in mode else ("clients=8", f"rate={RATE}")))
            if mode == "fresh":
                with Load(bench, *words) as alone:
                    time.sleep(2 if bench.quick else 5)
            with Load(bench, *words) as load:
                for _ in range(times):
                    peer.reload()
                    time.sleep(max(peer.restart_floor(), 0.2))
            result = load.result
            lost[kind.name], again[kind.name] = result["lost"] / times, result["retried"] / times
            bench.note(f"    {times} reloads in {result['seconds']:.1f} s: {text_of(result)}; {gaps_of(result)}")
            if mode == "fresh":
                gaps[kind.name] = result["gap_us"]["p99"] / max(1, alone.result["gap_us"]["p99"])
                bench.note(f"    left alone: {gaps_of(alone.result)}")
    what = f"{instances} instance{'s' * (instances > 1)}, {'handles SIGINT' if handles else 'handles nothing'}, {clients}"
    if mode == "keep" and not handles:
        # Whoever waits for an answer when the time to drain is over loses it: eight clients, each instance.
        bar = 8 * instances
        bench.figure(f"lost or sent again in a reload: {what}", "", {name: lost[name] + again[name] for name in lost},
                     f"≤ {bar}, in flight at `drain_timeout`", lambda: lost["stead"] + again["stead"] <= bar)
    else:
        bench.figure(f"lost in a reload: {what}", "", lost, f"0 in {ours}", lambda: lost["stead"] == 0)
    if mode == "fresh":
        bench.figure(f"gaps between answers, p99, times those without a reload: {what}", "", gaps, "< 2",
                     lambda: gaps["stead"] < 2)


def kill(bench):
    """One of two instances killed under load, again and again."""
    lost, refused = {}, {}
    times = bench.scale(20)
    for kind in contestants(bench, ServedByStead, ServedByPm2):
        with bench.attempt(kind), bench.boot(kind) as peer:
            server = node(free_port(), 2)
            steady(peer, server)
            result = killed(bench, peer, server, times)[0]
            lost[kind.name], refused[kind.name] = result["lost"] / times, result["refused"]
    bench.figure("lost in a `kill -9` of one of 2 Node instances", "", lost, "reported: those it was answering", None)
    bench.figure(f"refused in {times} of them", "", refused, "0", lambda: refused["stead"] == 0)
    if not bench.has(SERVING_STEAD):
        return
    more = {}
    with bench.attempt(ServedByStead), bench.boot(ServedByStead) as peer:
        stats = os.path.join(peer.dir, "stats")
        os.makedirs(stats)
        port = free_port()
        server = Server([bench.app("server"), f"port={port}", "slow=2", f"stats={stats}"], port, 2)
        steady(peer, server)
        result, pids = killed(bench, peer, server, times)
        # Each may have died between accept(2) and its count.
        accepted = sum(unfinished(stats, pid) for pid in pids) + times
        bench.note(f"    {accepted} accepted and not answered")
        more["stead"] = max(0, result["lost"] - accepted) + result["refused"] + result["timed_out"]
    bench.figure(f"lost in {times} kills of a server in C beyond what it had accepted", "", more, "0",
                 lambda: more["stead"] == 0)


def killed(bench, peer, server, times):
    pids = []
    with Load(bench, "fresh", server.port, "clients=8", f"rate={RATE}") as load:
        for number in range(times):
            slot, pid = sorted(peer.server_pids().items())[number % 2]
            os.kill(pid, signal.SIGKILL)
            pids.append(pid)
            # A look at PM2 costs a second of Node: it must not become the load.
            probe.until(lambda slot=slot, pid=pid: peer.server_pids().get(slot, pid) != pid, f"{slot} again", 30,
                        0.02 if isinstance(peer, ServedByStead) else 0.5)
    bench.note(f"    {times} kills in {load.result['seconds']:.1f} s: {text_of(load.result)}")
    return load.result, pids


def unfinished(stats, pid):
    with open(os.path.join(stats, str(pid)), "rb") as file:
        accepted, done = (int.from_bytes(file.read(8), "little") for _ in range(2))
    return accepted - done


def spread(bench):
    """New connections over four instances."""
    count = bench.scale(10000)
    ratios = {}
    for kind in (*contestants(bench, ServedByStead, ServedByPm2), Bare):
        with bench.attempt(kind), bench.boot(kind) as peer:
            server = node(free_port(), 4)
            if kind is not ServedByPm2:
                own = ["reuseport"] if kind is Bare else []
                server = Server([bench.app("server"), f"port={server.port}", *own], server.port, 4, shares=kind is Bare)
            steady(peer, server)
            with Load(bench, "fresh", server.port, f"count={count}") as load:
                load.child.wait(60)
            by = load.result["instances"].values()
            ratios[kind.name if kind is not Bare else "floor"] = max(by) / min(by) if len(by) == 4 else float("inf")
            bench.note(f"    {text_of(load.result)}: {load.result['instances']}")
    bench.figure(f"spread of {count} connections over 4 instances: most / least", "", ratios, "≤ 1.02",
                 lambda: ratios["stead"] <= 1.02)


def throughput(bench):
    """Requests a second of two Node instances, by wrk."""
    if not shutil.which("wrk"):
        bench.note("  wrk is missing: apt-get install wrk")
        return
    seconds = 2 if bench.quick else 6
    Bare.preload = bench.app("reuseport.so")
    rates = {}
    for _ in range(1 if bench.quick else 3):
        for kind in (*contestants(bench, ServedByStead, ServedByPm2), NodeCluster, Bare):
            with bench.attempt(kind), bench.boot(kind) as peer:
                server = node(free_port(), 2)
                steady(peer, server)
                for how, words in (("keep-alive", ()), ("connection per request", ("-H", "Connection: close"))):
                    rate = wrk(server.port, seconds, words)
                    rates.setdefault(how, {}).setdefault("floor" if kind is Bare else kind.name, []).append(rate)
                    bench.note(f"    {how}: {rate:.0f}/s")
    for how, factor in (("keep-alive", 1), ("connection per request", 2.5)):
        values = {name: statistics.median(all_of) / 1000 for name, all_of in rates.get(how, {}).items()}
        bench.figure(f"2 Node instances, {how}", "k/s", values, f"≥ {factor} × PM2 cluster and as bare SO_REUSEPORT (floor)",
                     lambda values=values, factor=factor: values["stead"] >= factor * values["pm2-cluster"]
                     and values["stead"] >= 0.95 * values["floor"])


def wrk(port, seconds, words):
    argv = ["wrk", "-t1", "-c64", f"-d{seconds}s", *words, f"http://127.0.0.1:{port}/"]
    text = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
    return float(re.search(r"Requests/sec:\s*([\d.]+)", text)[1])


def listen(bench):
    """From listen(2) in the app to the daemon's news that it is ready."""
    if not bench.has(SERVING_STEAD):
        return
    count, taken = bench.scale(100), []
    with bench.attempt(ServedByStead), bench.boot(ServedByStead) as peer:
        stamps = os.path.join(peer.dir, "stamps")
        port = free_port()
        peer.serve(Server([bench.app("server"), f"port={port}", f"stamp={stamps}"], port))
        for _ in range(count - 1):
            peer.reload()
            # What a reload leaves to do must not stand in the way of the next.
            time.sleep(0.02)
        listened = [int(line.split()[1]) for line in probe.read(stamps).splitlines()]
        app = next(row for row in peer.list_json() if row["app"] == NAME)
        log = os.path.join(peer.env["STEAD_LOG_DIR"], NAME, f"{app['instance'].split('/')[1]}.log")
        ready = [stamp_ns(line) for line in probe.read(log).splitlines() if "ready after" in line]
        if len(ready) != len(listened) or not ready:
            raise LookupError(f"{len(listened)} runs listened, {len(ready)} were ready")
        taken = [(then - at) / 1e6 for at, then in zip(listened, ready)]
        bench.note(f"    {len(taken)} starts: median {statistics.median(taken):.2f} ms, from {min(taken):.2f} to "
                   f"{max(taken):.2f}")
    bench.figure("listen(2) to `ready` seen by the daemon", "ms", {"stead": statistics.median(taken)} if taken else {},
                 "< 2", lambda: statistics.median(taken) < 2)


def stamp_ns(line):
    """2026-11-20T12:47:03.123456789Z, in nanoseconds since 1970."""
    whole, part = re.match(r"(\S+?)\.(\d+)Z ", line).groups()
    at = datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(at) * 1_000_000_000 + int(part.ljust(9, "0"))


def rest(bench):
    """What stead does while instances that share ports only listen, clients stay connected, and nobody asks."""
    if not bench.has(SERVING_STEAD):
        return
    seconds = 5 if bench.quick else 30
    woken, cpu = {}, {}
    with bench.attempt(ServedByStead), bench.boot(ServedByStead) as peer:
        port = free_port()
        steady(peer, Server([bench.app("server"), f"port={port}"], port, 20))
        with Load(bench, "pause=3600000", port, "clients=64"):
            time.sleep(3)
            pids = peer.own_pids()
            before = [(probe.switches(pid), probe.cpu_exact_ns(pid)) for pid in pids]
            time.sleep(seconds)
            after = [(probe.switches(pid), probe.cpu_exact_ns(pid)) for pid in pids]
        woken["stead"] = sum(b[0] - a[0] for a, b in zip(before, after))
        cpu["stead"] = sum(b[1] - a[1] for a, b in zip(before, after)) / 1e6
    what = f"at rest, 20 instances on a port, 64 connections, {seconds} s"
    bench.figure(f"{what}: context switches", "", woken, "0", lambda: woken["stead"] == 0)
    bench.figure(f"{what}: CPU", "ms", cpu, "< 1", lambda: cpu["stead"] < 1)


SERVING_STEAD = next(base for base, kinds in SERVING.items() if ServedByStead in kinds)
