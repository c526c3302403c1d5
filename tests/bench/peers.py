"""The peers: runit and s6 (Debian), supervisord (Debian), PM2 (npm).

Owns: how each is given apps and asked things, as its manual has it, in a directory of its own. Never: measures, nor
touches an installation of the host.
"""
import json
import os
import shlex
import shutil
import subprocess

import probe
from supervisors import Supervisor, Unable

CACHE = os.environ.get("STEAD_BENCH_PEERS") or os.path.expanduser("~/.cache/stead-bench-peers")


class Directory(Supervisor):
    """A supervisor of service directories: runit and s6 differ in their commands only."""

    command = ()
    log_command = ""

    @classmethod
    def missing(cls):
        lacking = [name for name in (*cls.programs, cls.command[0]) if not shutil.which(name)]
        return f"{', '.join(lacking)} missing: apt-get install {cls.name}" if lacking else None

    def boot(self):
        self.scan = os.path.join(self.dir, "service")
        os.makedirs(self.scan)
        self.services = []

    def halt(self):
        for child in self.children:
            child.send_signal(self.stop_signal)
            child.wait(3)

    def start(self, apps):
        for app in apps:
            # Made aside and moved in: the scanner never sees half a service.
            directory = os.path.join(self.dir, f"new-{app.name}")
            os.makedirs(directory)
            merge = "exec 2>&1\n" if app.logs else ""
            run = f"{merge}{self.before_exec(app)}exec {shlex.join(app.argv)}\n"
            self.script(directory, "run", run)
            if not app.autorestart:
                self.once(directory)
            if app.logs:
                os.makedirs(os.path.join(self.dir, "logs", app.name))
                self.prepare_log(os.path.join(self.dir, "logs", app.name))
                os.makedirs(f"{directory}/log")
                self.script(f"{directory}/log", "run", f"exec {self.log_command} {self.dir}/logs/{app.name}\n")
            os.rename(directory, os.path.join(self.scan, app.name))
            self.services.append(os.path.join(self.scan, app.name))
        if self.children:
            self.rescan()
        else:
            self.spawn(*self.command, self.scan)

    @staticmethod
    def script(directory, name, text):
        path = os.path.join(directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, 0o755)

    def prepare_log(self, directory):
        """What the logger wants to find in its directory."""

    def before_exec(self, app):
        """runit and s6 have no memory limit: a person who needs one writes these lines."""
        if not app.memory_max:
            return ""
        version, at = probe.cgroup_hierarchies()[1]
        group = os.path.join(at, f"stead-bench-{self.name}-{app.name}")
        limit = "memory.max" if version == "v2" else "memory.limit_in_bytes"
        group_kill = f"echo 1 > {group}/memory.oom.group\n" if version == "v2" else ""
        return f"mkdir -p {group}\necho {app.memory_max} > {group}/{limit}\n{group_kill}echo $$ > {group}/cgroup.procs\n"

    def clean(self):
        super().clean()
        for mount in probe.cgroup_hierarchies()[0]:
            for name in probe.listdir(mount):
                if name.startswith(f"stead-bench-{self.name}-"):
                    probe.remove_cgroup(os.path.join(mount, name))

    def log_files(self, app):
        directory = os.path.join(self.dir, "logs", app.name)
        names = sorted(name for name in probe.listdir(directory) if name.startswith("@") or name == "current")
        return [os.path.join(directory, name) for name in names]


class Runit(Directory):
    name = "runit"
    programs = ("runsvdir", "runsv", "svlogd")
    command = ("runsvdir",)
    # Its own default, 1 MB and 10 files, would drop lines; `config` in the log directory sets another.
    log_command = "svlogd -tt"
    stop_signal = 1

    def prepare_log(self, directory):
        with open(os.path.join(directory, "config"), "w", encoding="utf-8") as file:
            file.write("s1000000000\nn10\n")

    def once(self, directory):
        # Told to stay down by its own last act.
        self.script(directory, "finish", f"exec sv down {self.scan}/{os.path.basename(directory).removeprefix('new-')}\n")

    def rescan(self):
        """runsvdir looks by itself, every five seconds."""

    def stop_all(self):
        self.run("sv", "stop", *self.services)

    def restart_all(self):
        self.run("sv", "restart", *self.services)

    def list_command(self):
        return ["sv", "status", *self.services]

    def restart_floor(self):
        # runsv makes a service that ran for less than a second wait for one.
        return 1.1


class S6(Directory):
    name = "s6"
    programs = ("s6-svscan", "s6-supervise", "s6-log")
    command = ("s6-svscan", "-c1000")
    log_command = "s6-log T s268435455 n20"
    stop_signal = 15

    def once(self, directory):
        # 125 tells s6-supervise not to start it again.
        self.script(directory, "finish", "exit 125\n")

    def rescan(self):
        self.run("s6-svscanctl", "-a", self.scan)

    def each(self, command):
        """s6 has a command for one service: a person writes the loop."""
        return f"for d in {shlex.quote(self.scan)}/*; do {command} \"$d\"; done"

    def stop_all(self):
        self.run("sh", "-c", f"{self.each('s6-svc -d')}; s6-svwait -d {shlex.quote(self.scan)}/*")

    def restart_all(self):
        self.run("sh", "-c", self.each("s6-svc -r"))

    def list_command(self):
        return ["sh", "-c", self.each("s6-svstat")]


class Supervisord(Supervisor):
    name = "supervisord"
    # Debian's is a script of Debian's own Python.
    programs = ("python3", "python3.11", "python3.13")

    @classmethod
    def missing(cls):
        return None if os.path.exists("/usr/bin/supervisord") else "apt-get install supervisor"

    def boot(self):
        self.config = os.path.join(self.dir, "supervisord.conf")
        os.makedirs(os.path.join(self.dir, "logs"))
        self.write([])
        self.ctl = ["/usr/bin/python3", "/usr/bin/supervisorctl", "-c", self.config]

    def own_pids(self, everything=False):
        return super().own_pids(True) if everything else [child.pid for child in self.children]

    def halt(self):
        for child in self.children:
            child.terminate()
            child.wait(30)

    def write(self, apps):
        text = (f"[supervisord]\nnodaemon=true\nlogfile={self.dir}/supervisord.log\npidfile={self.dir}/pid\n"
                f"childlogdir={self.dir}/logs\nminfds=4096\nminprocs=400\n"
                f"[unix_http_server]\nfile={self.dir}/sock\n[supervisorctl]\nserverurl=unix://{self.dir}/sock\n"
                "[rpcinterface:supervisor]\n"
                "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n")
        for app in apps:
            text += (f"[program:{app.name}]\ncommand={shlex.join(app.argv)}\nstartsecs=0\nstartretries=1000000\n"
                     f"autorestart={'true' if app.autorestart else 'false'}\nstopwaitsecs={app.stop_timeout}\n"
                     f"stdout_logfile={self.dir}/logs/{app.name}.log\nstdout_logfile_maxbytes=0\nredirect_stderr=true\n")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, apps):
        if any(app.memory_max for app in apps):
            raise Unable
        self.write(apps)
        if self.children:
            self.run(*self.ctl, "update")
            return
        self.spawn("/usr/bin/python3", "/usr/bin/supervisord", "-c", self.config)
        probe.until(lambda: os.path.exists(f"{self.dir}/sock"), "supervisord's socket")

    def stop_all(self):
        self.run(*self.ctl, "stop", "all")

    def restart_all(self):
        self.run(*self.ctl, "restart", "all")

    def list_command(self):
        return [*self.ctl, "status"]

    def log_files(self, app):
        return [os.path.join(self.dir, "logs", f"{app.name}.log")]


class Pm2(Supervisor):
    name = "pm2"
    programs = ("node",)

    @classmethod
    def missing(cls):
        if not shutil.which("node") or not shutil.which("npm"):
            return "node and npm are missing"
        if not os.path.exists(f"{CACHE}/node_modules/pm2"):
            os.makedirs(CACHE, exist_ok=True)
            done = subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", CACHE, "pm2@7"],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return f"npm install pm2: {done.stderr.strip()[-200:]}"
        return None

    def boot(self):
        self.env["PM2_HOME"] = os.path.join(self.dir, "home")
        self.pm2 = ["node", f"{CACHE}/node_modules/pm2/bin/pm2"]
        # Any command starts its daemon; this one does nothing else.
        self.run(*self.pm2, "ping")

    def own_pids(self, everything=False):
        # Its title overwrites its environment, so the marker cannot be relied upon.
        text = probe.read(os.path.join(self.env.get("PM2_HOME", ""), "pm2.pid")).strip()
        daemon = [int(text)] if text.isdigit() and probe.alive(int(text)) else []
        return sorted({*super().own_pids(True), *daemon}) if everything else daemon

    def halt(self):
        self.run(*self.pm2, "kill")

    def start(self, apps):
        if any(app.memory_max for app in apps):
            raise Unable
        entries = [{"name": app.name, "script": app.argv[0], "args": app.argv[1:], "interpreter": "none",
                    "exec_mode": "fork", "restart_delay": 0, "min_uptime": 0, "max_restarts": 1_000_000_000,
                    "autorestart": app.autorestart, "kill_timeout": app.stop_timeout * 1000,
                    **({"max_memory_restart": app.max_memory_restart} if app.max_memory_restart else {})}
                   for app in apps]
        path = os.path.join(self.dir, "apps.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"apps": entries}, file)
        self.run(*self.pm2, "start", path)

    def stop_all(self):
        self.run(*self.pm2, "stop", "all")

    def restart_all(self):
        self.run(*self.pm2, "restart", "all")

    def list_command(self):
        return [*self.pm2, "list"]

    def log_files(self, app):
        return [os.path.join(self.env["PM2_HOME"], "logs", f"{app.name}-out.log")]


PEERS = (Runit, S6, Supervisord, Pm2)
