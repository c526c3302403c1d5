"""A server on a port, as each supervisor runs it: how it is started there, reloaded, and asked for its processes.

Owns: what a person would write and type for it, as each manual has it. Never: measures.
"""
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field

import probe
from peers import Pm2, Runit, Supervisord
from supervisors import App, Stead, Supervisor, Unable

APPS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "apps")
NAME = "web"


@dataclass
class Server:
    """A program that listens on `port`."""

    argv: list
    port: int
    instances: int = 1
    env: dict = field(default_factory=dict)
    # Seconds that its connections may last once it gets no new ones.
    drain_timeout: float = 1.0
    # Its count, where more than one copy of this program can share the port by itself.
    shares: bool = False


def node(port, instances=1, handles=True):
    """A Node server that finishes its requests at SIGINT and SIGTERM, or one that handles no signal."""
    return Server(["node", os.path.join(APPS, "web.js"), *([] if handles else ["plain"])], port, instances,
                  {"PORT": str(port)})


def free_port():
    """Below those that clients are given."""
    for port in range(18000 + os.getpid() % 5000, 32000):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise OSError("no free port below 32000")


def answers(port):
    """Whether somebody answers a request there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return peer.recv(12).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class ServedByStead(Stead):
    """Beside `serve` and `reload`, what only this bench asks of stead."""

    def serve(self, server, *more):
        lines = ["[[app]]", f'name = "{NAME}"', f"run = {json.dumps(server.argv)}", f"instances = {server.instances}",
                 'ready_on = "listen"', "restart_delay = 0", "max_restarts = 0",
                 f'drain_timeout = "{int(server.drain_timeout * 1000)}ms"', *more]
        if server.env:
            lines.append("env = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in server.env.items()) + " }")
        path = os.path.join(self.dir, "web.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.run(self.stead, "start", path)

    def reload(self):
        self.run(self.stead, "reload", NAME)

    def server_pids(self):
        """By slot, of those that are ready."""
        return {row["instance"]: row["pid"] for row in self.list_json() if row["app"] == NAME and row["ready"]}


class ServedByPm2(Pm2):
    """PM2 in cluster mode: its daemon listens and hands each connection to one of the workers."""

    name = "pm2-cluster"
    mode = "cluster"

    def serve(self, server, *_):
        if server.argv[0] != "node" or (self.mode == "fork" and server.instances > 1):
            raise Unable
        entry = {"name": NAME, "script": server.argv[1], "args": server.argv[2:], "exec_mode": self.mode,
                 "instances": server.instances, "env": server.env, "restart_delay": 0}
        path = os.path.join(self.dir, "web.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"apps": [entry]}, file)
        self.run(*self.pm2, "start", path)

    def reload(self):
        self.run(*self.pm2, "reload", NAME)

    def server_pids(self):
        text = subprocess.run([*self.pm2, "jlist"], env=self.env, stdout=subprocess.PIPE, check=True).stdout
        rows = json.loads(text[text.index(b"["):])
        return {str(row["pm_id"]): row["pid"] for row in rows if row["pm2_env"]["status"] == "online"}


class ServedByPm2Fork(ServedByPm2):
    """PM2 in fork mode, which is its default: a reload is a restart there."""

    name = "pm2-fork"
    mode = "fork"


class Restarted:
    """What has no reload: a restart is the nearest, and two instances cannot have one port."""

    def serve(self, server, *_):
        if server.instances > 1:
            raise Unable
        argv = ["/usr/bin/env", *(f"{key}={value}" for key, value in server.env.items()), *server.argv]
        self.start([App(NAME, argv)])

    def reload(self):
        self.restart_all()


class ServedByRunit(Restarted, Runit):
    """`sv restart`."""


class ServedBySupervisord(Restarted, Supervisord):
    """`supervisorctl restart`."""


class Bare(Supervisor):
    """No supervisor: plain processes that share their port by the kernel's own SO_REUSEPORT, which is the floor."""

    name = "bare"
    preload = ""

    def boot(self):
        """There is nothing to start."""

    def halt(self):
        for child in self.children:
            child.kill()

    def serve(self, server, *_):
        self.env.update(server.env)
        if server.instances > 1 and not server.shares:
            self.env["LD_PRELOAD"] = self.preload
        for _ in range(server.instances):
            self.spawn(*server.argv)

    def reload(self):
        raise Unable


class NodeCluster(Bare):
    """Node's cluster module with no supervisor."""

    name = "node-cluster"

    def serve(self, server, *_):
        self.env.update(server.env)
        self.spawn("node", os.path.join(APPS, "cluster.js"), str(server.instances))


# By the kind of the bench whose presence each depends on.
SERVING = {Stead: (ServedByStead,), Runit: (ServedByRunit,), Supervisord: (ServedBySupervisord,),
           Pm2: (ServedByPm2, ServedByPm2Fork)}


class Load:
    """tests/apps/load while something else happens. As a context: the result is there after its end."""

    def __init__(self, bench, mode, port, *words):
        self.argv = [bench.app("load"), mode, f"port={port}", *words]
        self.result = {}

    def __enter__(self):
        self.child = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        if line != "answering\n":
            self.child.kill()
            self.child.wait()
            raise RuntimeError(f"nobody answers: {line}")
        return self

    def __exit__(self, *_):
        # Its end is the end of its stdin; it answers for what is open and prints what it counted.
        text, _ = self.child.communicate(timeout=30)
        self.result = json.loads(text)


def steady(peer, server):
    """Serves, and waits until all instances do."""
    peer.serve(server)
    probe.until(lambda: answers(server.port), "an answer")
    # What a start leaves to do, and a runit that punishes a restart in the first second.
    time.sleep(max(peer.restart_floor(), 1.0))
