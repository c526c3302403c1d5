"""The rows about what a supervisor costs while it stands: memory, wake-ups, and a look at it.

Owns: what is counted, and when. Never: knows how a supervisor is asked.
"""
import os
import statistics
import subprocess
import time

import probe
from lifecycle import many
from supervisors import App, Stead


def logged(apps):
    for app in apps:
        app.logs = True
    return apps


def memory(bench):
    """Proportional set size of all its processes, with none and with 300 apps, all with their output captured."""
    count = bench.scale(300)
    empty, full, holder = {}, {}, {}
    for kind in bench.supervisors():
        with bench.attempt(kind), bench.boot(kind) as peer:
            if not peer.own_pids():
                peer.start([])
            time.sleep(0.5)
            empty[kind.name] = pss(peer)
            if kind is Stead:
                holder["stead"] = sum(probe.pss_bytes(pid) for pid in peer.own_pids()
                                      if probe.program(pid) == "stead-holder") / (1 << 20)
            starts, apps = many(bench, peer, count)
            peer.start(logged(apps))
            starts.wait(count, f"{count} first runs")
            time.sleep(1)
            full[kind.name] = pss(peer)
            bench.note(f"    {empty[kind.name]:.1f} MiB with none, {full[kind.name]:.1f} MiB with {count}")
    bench.figure("PSS with no app", "MiB", empty, "< 8", lambda: empty["stead"] < 8)
    bench.figure("PSS of the holder with no app", "MiB", holder, "< 1", lambda: holder["stead"] < 1)
    bench.figure(f"PSS with {count} apps, output captured", "MiB", full, "< 12", lambda: full["stead"] < 12)


def pss(peer):
    return sum(probe.pss_bytes(pid) for pid in peer.own_pids()) / (1 << 20)


def idle(bench):
    """What its processes do in 30 s in which nothing happens."""
    count, seconds = bench.scale(300), 5 if bench.quick else 30
    woken, cpu = {}, {}
    for kind in bench.supervisors():
        with bench.attempt(kind), bench.boot(kind) as peer:
            starts, apps = many(bench, peer, count)
            peer.start(apps)
            starts.wait(count, f"{count} first runs")
            # What a start leaves to do is done by then: delays that end, allocators that give back.
            time.sleep(3)
            pids = peer.own_pids()
            before = [(probe.switches(pid), probe.cpu_exact_ns(pid)) for pid in pids]
            time.sleep(seconds)
            after = [(probe.switches(pid), probe.cpu_exact_ns(pid)) for pid in pids]
            woken[kind.name] = sum(b[0] - a[0] for a, b in zip(before, after))
            cpu[kind.name] = sum(b[1] - a[1] for a, b in zip(before, after)) / 1e6
            bench.note(f"    {woken[kind.name]} switches, {cpu[kind.name]:.2f} CPU ms in {seconds} s")
    bench.figure(f"idle, {count} apps, {seconds} s: context switches", "", woken, "0", lambda: woken["stead"] == 0)
    bench.figure(f"idle, {count} apps, {seconds} s: CPU", "ms", cpu, "< 10", lambda: cpu["stead"] < 10)


def listing(bench):
    """A cold process that shows all apps, with 100 and with 300 of them."""
    for count in (bench.scale(100), bench.scale(300)):
        taken = {}
        for kind in bench.supervisors():
            with bench.attempt(kind), bench.boot(kind) as peer:
                starts, apps = many(bench, peer, count)
                peer.start(apps)
                starts.wait(count, f"{count} first runs")
                time.sleep(1.5)
                taken[kind.name] = look(bench, peer)
                if kind is Stead:
                    fresh(bench, peer, count)
        if count == bench.scale(100):
            bench.figure(f"list {count} instances, cold process", "ms", taken, "≤ 2 × runit",
                         lambda taken=taken: taken["stead"] <= 2 * taken["runit"])
        else:
            bench.figure(f"list {count} instances, cold process", "ms", taken, "< 25",
                         lambda taken=taken: taken["stead"] < 25)


def look(bench, peer):
    command, times = peer.list_command(), []
    for _ in range(bench.scale(40)):
        before = probe.now_ns()
        done = subprocess.run(command, env=peer.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        times.append((probe.now_ns() - before) / 1e6)
        # supervisorctl and sv say by their exit status that something is not running, which is no failure of theirs.
        if done.returncode not in (0, 3):
            raise subprocess.SubprocessError(f"{command[0]}: exit {done.returncode}")
    bench.note(f"    median {statistics.median(times):.1f} ms, from {min(times):.1f} to {max(times):.1f}")
    return statistics.median(times)


def fresh(bench, peer, count):
    """The figures are those of the moment: what an app took just now is shown by the next look."""
    path = os.path.join(peer.dir, "grown")
    open(path, "w", encoding="utf-8").close()
    peer.list_json()
    peer.start([App("grower", [bench.app("leaker"), "40", "hold", f"file={path}"])])
    probe.until(lambda: "40\n" in probe.read(path), "the grower")
    shown = peer.list_json()
    mine = [one for one in shown if one["app"] == "grower"]
    others = [one for one in shown if one["app"] != "grower"]
    right = (len(mine) == 1 and mine[0]["memory_bytes"] >= 40 << 20 and len(others) == count
             and all(one["status"] == "running" and one["memory_bytes"] > 0 for one in others))
    bench.figure(f"list {count} instances: figures fresh and complete", "", {"stead": "yes" if right else "no"}, "yes",
                 lambda: right)
