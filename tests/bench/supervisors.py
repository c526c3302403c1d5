"""stead, and what every supervisor of the bench can be asked.

Owns: one supervisor's life in a directory of its own: started, given apps, measured, gone. Never: measures.
"""
import json
import os
import subprocess
import time
from dataclasses import dataclass

import probe


class Unable(Exception):
    """The supervisor has no such thing, so that the row has no figure of it."""


@dataclass
class App:
    """What is to run, in words that every supervisor has."""

    name: str
    argv: list
    memory_max: int = 0
    max_memory_restart: int = 0
    autorestart: bool = True
    logs: bool = False
    stop_timeout: int = 5


class Supervisor:
    """One supervisor with its own directories. Use as a context: it is gone at the end, whatever happened."""

    name = ""
    # What its own processes are called: anything else with our marker is an app.
    programs = ()

    def __init__(self, work):
        self.dir = os.path.join(work, self.name)
        os.makedirs(self.dir, exist_ok=True)
        self.env = dict(os.environ, STEAD_BENCH_DIR=self.dir, LC_ALL="C.UTF-8")
        self.cli_cpu_ns = 0
        self.children = []

    @classmethod
    def missing(cls):
        """Why it cannot be measured here, or None."""
        return None

    def __enter__(self):
        try:
            self.boot()
        except BaseException:
            self.clean()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.halt()
        except (OSError, subprocess.SubprocessError, TimeoutError) as problem:
            print(f"  {self.name}: did not end by itself: {problem}", flush=True)
        self.clean()

    def clean(self):
        deadline = time.monotonic() + 10
        while left := [pid for pid in self.own_pids(everything=True) if probe.alive(pid)]:
            probe.end(left)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} left {left} behind")
            time.sleep(0.01)
        for child in self.children:
            child.wait()
        self.children = []

    def own_pids(self, everything=False):
        """Its processes, without the apps; `everything`: with them."""
        found = probe.marked(self.dir)
        return found if everything else [pid for pid in found if probe.program(pid) in self.programs]

    def run(self, *argv, check=True, timeout=180):
        """Runs one of its commands to the end and counts the CPU time."""
        with open(os.path.join(self.dir, "commands"), "ab") as output:
            child = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                     cwd=self.dir)
            deadline = time.monotonic() + timeout
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() > deadline:
                    child.kill()
                    os.wait4(child.pid, 0)
                    child.returncode = -9
                    raise TimeoutError(f"{' '.join(argv)[:120]}: not within {timeout} s")
                time.sleep(0.0005)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.cli_cpu_ns += int((usage.ru_utime + usage.ru_stime) * 1e9)
        if check and child.returncode != 0:
            tail = probe.read(os.path.join(self.dir, "commands"))[-2000:]
            raise subprocess.SubprocessError(f"{' '.join(argv)[:120]}: exit {child.returncode}\n{tail}")
        return child.returncode

    def spawn(self, *argv):
        """Starts it as a child that stays."""
        output = open(os.path.join(self.dir, "daemon"), "ab")
        with output:
            child = subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                     cwd=self.dir, start_new_session=True)
        self.children.append(child)
        return child

    def cpu(self):
        return sum(probe.cpu_ns(pid) for pid in self.own_pids())

    def restart_floor(self):
        """Seconds that an app must have run for its restart to come without a penalty."""
        return 0.0

    # What each must have.

    def boot(self):
        raise NotImplementedError

    def halt(self):
        raise NotImplementedError

    def start(self, apps):
        """Starts all with one command, and returns when the command has."""
        raise NotImplementedError

    def stop_all(self):
        raise Unable

    def restart_all(self):
        raise Unable

    def list_command(self):
        raise Unable

    def log_files(self, app):
        """The files with the app's output, oldest first."""
        raise Unable


def binaries():
    """Where the release binaries are."""
    repo = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return os.environ.get("STEAD_BIN_DIR", os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{repo}/target"), "release"))


class Stead(Supervisor):
    name = "stead"
    programs = ("stead-holder", "steadd")
    base = ""

    @classmethod
    def missing(cls):
        lacking = [name for name in ("stead", "steadd", "stead-holder")
                   if not os.access(os.path.join(binaries(), name), os.X_OK)]
        return f"{', '.join(lacking)} not in {binaries()}: cargo build --release" if lacking else None

    def boot(self):
        self.stead = os.path.join(binaries(), "stead")
        for kind in ("RUNTIME", "STATE", "LOG", "CONFIG"):
            directory = os.path.join(self.dir, kind.lower())
            os.makedirs(directory, exist_ok=True)
            self.env[f"STEAD_{kind}_DIR"] = directory
        # The first command of any kind starts the holder and the daemon.
        hold = App("boot", ["/bin/sleep", "infinity"])
        self.start([hold])
        # `/stead-1a2b3c/app-boot/0@1`: the base is what a clean-up may remove, and nothing else.
        path = self.list_json()[0]["cgroup"] or ""
        self.base = next((part for part in path.split("/") if part.startswith("stead-")), "")
        self.run(self.stead, "delete", "boot")
        probe.until(lambda: len(self.own_pids()) == 2, "holder and daemon")

    def halt(self):
        self.run(self.stead, "shutdown", timeout=30)
        probe.until(lambda: not self.own_pids(everything=True), "the end of holder and daemon", 10, 0.01)

    def own_pids(self, everything=False):
        found = super().own_pids(everything)
        if everything and self.base:
            found += [pid for at in self.cgroups() for pid in probe.cgroup_pids(at)]
        return found

    def cgroups(self):
        return [os.path.join(at, self.base) for at in probe.cgroup_hierarchies()[0]]

    def clean(self):
        super().clean()
        for path in self.cgroups() if self.base else ():
            probe.remove_cgroup(path)

    def write(self, apps, instances=1):
        lines = []
        for app in apps:
            lines += ["[[app]]", f"name = {json.dumps(app.name)}", f"run = {json.dumps(app.argv)}",
                      'ready_on = "instant"', 'restart_delay = "0"', "max_restarts = 0",
                      f'stop_timeout = "{app.stop_timeout}s"',
                      f'restart = "{"always" if app.autorestart else "never"}"']
            if instances > 1:
                lines.append(f"instances = {instances}")
            if app.memory_max:
                lines.append(f'memory_max = "{app.memory_max}B"')
            if app.max_memory_restart:
                lines.append(f'max_memory_restart = "{app.max_memory_restart}B"')
        path = os.path.join(self.dir, f"apps-{apps[0].name}.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def start(self, apps):
        self.run(self.stead, "start", self.write(apps))

    def stop_all(self):
        self.run(self.stead, "stop", "all")

    def restart_all(self):
        self.run(self.stead, "restart", "all")

    def list_command(self):
        return [self.stead, "list"]

    def list_json(self):
        text = subprocess.run([self.stead, "list", "--json"], env=self.env, stdout=subprocess.PIPE, check=True).stdout
        return json.loads(text)

    def log_files(self, app):
        directory = os.path.join(self.env["STEAD_LOG_DIR"], app.name)
        names = [name for name in probe.listdir(directory) if ".log" in name]
        # Rotated files carry a number that grows with age after the current one's name.
        return [os.path.join(directory, name) for name in sorted(names, key=lambda n: (len(n), n), reverse=True)]
