"""What the kernel says about processes and cgroups.

Owns: reading /proc and cgroup files, finding and ending the processes of one bench. Never: knows what a supervisor is.
"""
import os
import signal
import time

TICK = os.sysconf("SC_CLK_TCK")


def now_ns():
    """The clock that the test programs write down."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def read(path):
    """A small file's text; empty if it is gone, as files of /proc are at any moment."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def program(pid):
    """The file name of what runs as `pid`."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    except OSError:
        return ""


def marked(marker):
    """The processes that have `marker` in their arguments or in the environment they were started with."""
    found = []
    for pid in pids():
        for file in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{file}", "rb") as text:
                    if pid != os.getpid() and marker.encode() in text.read():
                        found.append(pid)
                        break
            except OSError:
                continue
    return found


def cpu_ticks_ns(pid):
    """User and system time of the whole process, dead threads included, in steps of 10 ms."""
    stat = read(f"/proc/{pid}/stat")
    if not stat:
        return 0
    fields = stat.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // TICK


def cpu_exact_ns(pid):
    """Run time of the threads that are alive, in nanoseconds."""
    total = 0
    for task in listdir(f"/proc/{pid}/task"):
        fields = read(f"/proc/{pid}/task/{task}/schedstat").split()
        total += int(fields[0]) if fields else 0
    return total


def cpu_ns(pid):
    """The better of the two: exact, unless a thread that ended took its time with it."""
    return max(cpu_ticks_ns(pid), cpu_exact_ns(pid))


def switches(pid):
    """How often the threads of a process were put on a CPU and taken off: a process that sleeps has none."""
    total = 0
    for task in listdir(f"/proc/{pid}/task"):
        for line in read(f"/proc/{pid}/task/{task}/status").splitlines():
            if line.startswith(("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")):
                total += int(line.split()[1])
    return total


def pss_bytes(pid):
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def listdir(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def until(condition, what, seconds=30.0, step=0.001):
    """Waits for an observable. Raises what was waited for when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(step)


def end(found):
    """Ends processes of this bench for good."""
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue


def alive(pid):
    stat = read(f"/proc/{pid}/stat")
    return bool(stat) and stat.rsplit(")", 1)[1].split()[0] not in "ZX"


def cgroup_hierarchies():
    """Where cgroup file systems are mounted, and whether the memory controller is v2's."""
    mounts, memory = [], None
    for line in read("/proc/self/mountinfo").splitlines():
        left, right = line.split(" - ")
        kind, _, options = right.split()
        if kind not in ("cgroup", "cgroup2"):
            continue
        at = left.split()[4]
        mounts.append(at)
        if kind == "cgroup" and "memory" in options.split(","):
            memory = ("v1", at)
        if kind == "cgroup2" and "memory" in read(f"{at}/cgroup.controllers").split():
            memory = ("v2", at)
    return mounts, memory


def cgroup_pids(path):
    """Every process in a cgroup and below it."""
    found = []
    for directory, _, _ in os.walk(path):
        found += [int(line) for line in read(os.path.join(directory, "cgroup.procs")).split()]
    return found


def remove_cgroup(path):
    """Removes a cgroup and what is below it, if no process is in it."""
    for directory, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            continue
