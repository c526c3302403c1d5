"""The row about D-Bus: what a question takes, and what many of them leave to the apps.

Owns: who asks, and what is looked at meanwhile. Never: measures a call itself; bus_calls.rs does.
"""
import json
import os
import subprocess

from lifecycle import Starts, crashes, many
from supervisors import App, Stead


def caller():
    """The program that asks, built if it is not there."""
    built = subprocess.run(["cargo", "build", "--locked", "--quiet", "--release", "--bench", "bus_calls",
                            "--message-format=json"], stdout=subprocess.PIPE, check=True, cwd=os.path.dirname(__file__))
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(one["executable"] for one in messages if one.get("target", {}).get("name") == "bus_calls")


def bus(bench):
    """ListInstances, 300 instances in each answer; and an app that dies while somebody asks 1,000 times a second."""
    if not bench.has(Stead):
        return
    program, count, deaths = caller(), bench.scale(300), bench.scale(100)
    with bench.attempt(Stead), bench.boot(Stead) as peer:
        starts, apps = many(bench, peer, count)
        peer.start(apps)
        starts.wait(count, f"{count} first runs")
        crashing = Starts(peer.dir, "crashing")
        peer.start([App("crasher", [bench.app("crasher"), crashing.path, "wait"])])
        at = [program, peer.env["STEAD_RUNTIME_DIR"]]
        usual = crashes(bench, crashing, deaths, 0.02)
        for measure, what in (("nothing", "names and states"), ("full", "with all figures")):
            taken = float(subprocess.run([*at, measure, "one"], stdout=subprocess.PIPE, check=True).stdout)
            bench.note(f"    {what}: median {taken:.2f} ms")
            bench.figure(f"ListInstances, {count} instances, {what}", "ms", {"stead": taken}, "< 10",
                         lambda taken=taken: taken < 10)
        for measure, what in (("nothing", "names and states"), ("full", "with all figures")):
            with subprocess.Popen([*at, measure, "flood", "1000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as flood:
                pressed = crashes(bench, crashing, deaths, 0.02)
                said, _ = flood.communicate()
            rate = float(said)
            bench.note(f"    {what}: {rate:.0f} calls/s, an app back in {pressed:.2f} ms (else {usual:.2f})")
            bench.figure(f"the same, at most 1,000 calls/s, {what}", "/s", {"stead": rate},
                         "≥ 1,000" if measure == "nothing" else "reported",
                         (lambda rate=rate: rate >= 990) if measure == "nothing" else None)
            bench.figure(f"crash to replacement meanwhile, {what}", "ms", {"stead": pressed, "at rest": usual},
                         "≤ 2 × at rest", lambda pressed=pressed: pressed <= 2 * usual)
