"""The rows about starting, dying, restarting and stopping.

Owns: what is timed, and from when to when. Never: knows how a supervisor is asked.
"""
import os
import signal
import statistics
import subprocess
import time

import probe
from supervisors import App, Stead, Unable


class Starts:
    """The file that `crasher` appends a line to with its first instruction: when, and who."""

    def __init__(self, directory, name="starts"):
        self.path = os.path.join(directory, name)
        open(self.path, "w", encoding="utf-8").close()

    def all(self):
        pairs = [line.split() for line in probe.read(self.path).splitlines()]
        return [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]

    def count(self):
        return probe.read(self.path).count("\n")

    def wait(self, count, what, seconds=60.0):
        probe.until(lambda: self.count() >= count, what, seconds)
        return self.all()


def crashes(bench, starts, count, rest, seconds=30):
    """Kills the newest run again and again; milliseconds from each kill to the next run's first instruction."""
    taken = []
    for _ in range(count):
        known = starts.wait(1, "a first run", seconds)
        time.sleep(rest)
        before = probe.now_ns()
        os.kill(known[-1][1], signal.SIGKILL)
        taken.append((starts.wait(len(known) + 1, "a restart", seconds)[len(known)][0] - before) / 1e6)
    bench.note(f"    {count} crashes: median {statistics.median(taken):.2f} ms, "
               f"from {min(taken):.2f} to {max(taken):.2f}")
    return statistics.median(taken)


def floor(bench):
    """The same, for a bare loop of fork, exec, waitpid."""
    starts = Starts(bench.work, "floor-starts")
    child = subprocess.Popen([bench.app("floor"), bench.app("crasher"), starts.path, "wait"])
    try:
        return crashes(bench, starts, bench.scale(200), 0.02)
    finally:
        child.kill()
        child.wait()


def crash(bench):
    """Crash to the replacement's first instruction."""
    result = {"floor": floor(bench)}
    for kind in bench.supervisors():
        with bench.attempt(kind), bench.boot(kind) as peer:
            starts = Starts(peer.dir)
            rest = max(0.02, peer.restart_floor())
            peer.start([App("crasher", [bench.app("crasher"), starts.path, "wait"])])
            count = 200 if kind is Stead else 20
            result[kind.name] = crashes(bench, starts, bench.scale(count), rest)
    bench.figure("crash to replacement's first instruction", "ms", result,
                 "≤ 0.5 × runit and ≤ 2 × floor",
                 lambda: result["stead"] <= 2 * result["floor"] and result["stead"] <= result["runit"] / 2)


def crash_limits(bench):
    """The same, with a memory limit: in the VM on v2, here for the record."""
    if not bench.has(Stead):
        return
    result = {"floor": floor(bench)}
    with bench.attempt(Stead), bench.boot(Stead) as peer:
        starts = Starts(peer.dir)
        peer.start([App("crasher", [bench.app("crasher"), starts.path, "wait"], memory_max=64 << 20)])
        result["stead"] = crashes(bench, starts, bench.scale(200), 0.02)
    version = (probe.cgroup_hierarchies()[1] or ("none",))[0]
    if version == "v2":
        bench.figure("crash to replacement, with limits on v2", "ms", result, "≤ 3 × floor",
                     lambda: result["stead"] <= 3 * result["floor"])
    else:
        bench.figure(f"crash to replacement, with limits ({version}: the kernel's grace period)", "ms", result,
                     "reported", None)


def walls(bench, peer, arguments, limit, count, name):
    """Lets an app run into its limit `count` times: ms from the last step below it to the next run, and the overshoot."""
    path = os.path.join(peer.dir, name)
    open(path, "w", encoding="utf-8").close()
    peer.start([App(name, [bench.app("leaker"), *arguments, f"file={path}"], memory_max=limit)])
    probe.until(lambda: probe.read(path).count("start") > count, f"{count} kills by the limit", 60, 0.005)
    taken, over, last, top = [], 0, None, 0
    for line in probe.read(path).splitlines():
        what, at, value = line.split()
        if what == "start":
            if last is not None:
                taken.append((int(at) - last) / 1e6)
                over = max(over, (top << 20) - limit)
            last, top = None, 0
        else:
            last, top = int(at), max(top, int(value))
    bench.note(f"    {len(taken)} kills: median {statistics.median(taken):.2f} ms, "
               f"from {min(taken):.2f} to {max(taken):.2f}; {max(over, 0) >> 20} MiB over")
    return statistics.median(taken), max(over, 0) / (1 << 20)


def oom(bench):
    """Over memory_max to the replacement running."""
    from peers import Pm2, Runit

    limit = 32 << 20
    for what, arguments in (("", ["300"]), (", by a child", ["300", "child"])):
        times, excess = {}, {}
        for kind in (Stead, Runit):
            if not bench.has(kind) or (kind is Runit and probe.cgroup_hierarchies()[1] is None):
                continue
            with bench.attempt(kind), bench.boot(kind) as peer:
                count = bench.scale(20) if kind is Stead else 3
                try:
                    times[kind.name], excess[kind.name] = walls(bench, peer, arguments, limit, count, "leaker")
                except TimeoutError as problem:
                    # v1 has no kill of the whole cgroup: the main process lives on, and nobody is told.
                    bench.note(f"    {problem}")
                    times[kind.name] = float("inf")
        if bench.has(Pm2) and not bench.quick:
            with bench.attempt(Pm2), bench.boot(Pm2) as peer:
                times["pm2"], excess["pm2"] = polled(bench, peer, arguments, limit)
        bench.figure(f"over memory_max{what} to replacement running", "ms", times, "< 50 ms",
                     lambda times=times: times["stead"] < 50)
        bench.figure(f"overshoot over memory_max{what}", "MiB", excess, "0", lambda excess=excess: excess["stead"] == 0)


def polled(bench, peer, arguments, limit):
    """PM2 looks at the main process every 30 s. Grows by 40 MiB/s, to 1.5 GiB at most; None: never noticed."""
    path = os.path.join(peer.dir, "polled")
    open(path, "w", encoding="utf-8").close()
    peer.start([App("polled", [bench.app("leaker"), "1500", *arguments[1:], "hold", "pace=25", f"file={path}"],
                    max_memory_restart=limit)])
    try:
        probe.until(lambda: probe.read(path).count("start") > 1, "notice", 70, 0.05)
    except TimeoutError:
        return float("inf"), float("inf")
    lines = [line.split() for line in probe.read(path).splitlines()]
    again = [int(at) for what, at, _ in lines if what == "start"][1]
    wall = next(int(at) for what, at, value in lines if what == "step" and int(value) << 20 >= limit)
    top = max(int(value) for what, at, value in lines if what == "step" and int(at) < again)
    bench.note(f"    noticed after {(again - wall) / 1e9:.1f} s, {top - (limit >> 20)} MiB over")
    return (again - wall) / 1e6, top - (limit >> 20)


def many(bench, peer, count, directory=None):
    """`count` apps that write down when they began."""
    starts = Starts(directory or peer.dir)
    return starts, [App(f"app{number:03}", [bench.app("crasher"), starts.path, "wait"]) for number in range(count)]


def medians(taken):
    return {name: statistics.median(values) for name, values in taken.items()}


def start(bench):
    """300 apps started by one command, all running."""
    count = bench.scale(300)
    times, cpu = {}, {}
    for kind in bench.rounds():
        with bench.attempt(kind), bench.boot(kind) as peer:
            starts, apps = many(bench, peer, count)
            peer.cli_cpu_ns, spent = 0, peer.cpu()
            before = probe.now_ns()
            peer.start(apps)
            returned = probe.now_ns()
            last = max(at for at, _ in starts.wait(count, f"{count} first runs"))
            # A peer's command may return before or long after: what counts is that all run. Ours must be back too.
            done = max(last, returned) if kind is Stead else last
            spent = peer.cpu() - spent + peer.cli_cpu_ns
            times.setdefault(kind.name, []).append((done - before) / 1e9)
            cpu.setdefault(kind.name, []).append(spent / 1e9)
            bench.note(f"    all running after {(last - before) / 1e9:.2f} s, command back after "
                       f"{(returned - before) / 1e9:.2f} s, {spent / 1e9:.2f} CPU s")
    times, cpu = medians(times), medians(cpu)
    bench.figure(f"{count} apps started by one command", "s", times, "≤ 0.8 × s6",
                 lambda: times["stead"] <= 0.8 * times["s6"])
    bench.figure(f"{count} apps started: CPU of the manager and its command", "s", cpu, "< 0.8",
                 lambda: cpu["stead"] < 0.8)


def stop_restart(bench):
    """100 idle apps stopped, and restarted, by one command; then again with one that ignores its stop signal."""
    count = bench.scale(100)
    stops, restarts = {}, {}
    for kind in bench.rounds():
        with bench.attempt(kind), bench.boot(kind) as peer:
            starts, apps = many(bench, peer, count)
            peer.start(apps)
            first = starts.wait(count, f"{count} first runs")
            settle(peer)
            before = probe.now_ns()
            peer.restart_all()
            returned = probe.now_ns()
            last = max(at for at, _ in starts.wait(2 * count, f"{count} second runs"))
            probe.until(lambda: not any(probe.alive(pid) for _, pid in first[:count]), "the end of the first runs")
            restarted = (max(last, returned) - before) / 1e9
            settle(peer)
            running = [pid for _, pid in starts.all()[-count:]]
            before = probe.now_ns()
            peer.stop_all()
            probe.until(lambda: not any(probe.alive(pid) for pid in running), "the end of all runs")
            stopped = (probe.now_ns() - before) / 1e9
            restarts.setdefault(kind.name, []).append(restarted)
            stops.setdefault(kind.name, []).append(stopped)
            bench.note(f"    restarted in {restarted:.2f} s, stopped in {stopped:.2f} s")
    stops, restarts = medians(stops), medians(restarts)
    bench.figure(f"{count} idle apps stopped by one command", "s", stops, "< 0.5", lambda: stops["stead"] < 0.5)
    bench.figure(f"{count} idle apps restarted by one command", "s", restarts, "< 1", lambda: restarts["stead"] < 1)
    stubborn(bench, count)


def settle(peer):
    """A restart in the first second is punished by runit, and asked for by nobody."""
    time.sleep(max(peer.restart_floor(), 0.5))


def stubborn(bench, count):
    """One app that ignores its stop signal for five seconds must not delay the others' restart."""
    others = {}
    for kind in bench.supervisors():
        with bench.attempt(kind), bench.boot(kind) as peer:
            starts, apps = many(bench, peer, count)
            # The name sorts before all others: where things go one after the other, it comes first.
            mule = App("a-mule", [bench.app("sleeper"), "stubborn"])
            peer.start([mule, *apps])
            starts.wait(count, f"{count} first runs")
            settle(peer)
            before = probe.now_ns()
            try:
                peer.restart_all()
            except subprocess.SubprocessError as problem:
                bench.note(f"    {str(problem).splitlines()[0]}")
            last = max(at for at, _ in starts.wait(2 * count, f"{count} second runs", 120))
            others[kind.name] = (last - before) / 1e9
    bench.figure(f"{count} restarted beside one that ignores its signal: the last of the {count}", "s", others, "< 1",
                 lambda: others["stead"] < 1)


def crash_loop(bench):
    """A program that exits at once, for ten seconds: what each restart costs, and whom it disturbs."""
    seconds = 3 if bench.quick else 10
    cost, beside = {}, {}
    for kind in bench.supervisors():
        with bench.attempt(kind), bench.boot(kind) as peer:
            loop, other = Starts(peer.dir, "loop"), Starts(peer.dir, "other")
            peer.start([App("loop", [bench.app("crasher"), loop.path, "exit", "1"]),
                        App("other", [bench.app("crasher"), other.path, "wait"])])
            loop.wait(1, "the first run")
            other.wait(1, "the other app")
            count, spent = loop.count(), peer.cpu()
            time.sleep(seconds)
            done, spent = loop.count() - count, peer.cpu() - spent
            if done == 0 or other.count() != 1:
                bench.note(f"    {done} restarts; the other app was started {other.count()} times")
                continue
            cost[kind.name] = spent / 1e6 / done
            rest = max(0.02, peer.restart_floor())
            beside[kind.name] = crashes(bench, other, bench.scale(20), rest)
            bench.note(f"    {done} restarts in {seconds} s, {cost[kind.name]:.2f} CPU ms each")
    bench.figure("crash loop: the manager's CPU for each restart", "ms", cost, "< 1", lambda: cost["stead"] < 1)
    bench.figure("crash loop: another app's crash to replacement meanwhile", "ms", beside, "undisturbed: < 25",
                 lambda: beside["stead"] < 25)
