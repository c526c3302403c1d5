"""The rows about log capture: how fast, how dear, and whether every line is there.

Owns: what is printed, and when the files hold it. Never: knows how a supervisor captures.
"""
import os
import time

import loglines
import probe
from supervisors import App, Stead

LENGTH = 100


def size(peer, apps):
    total = 0
    for app in apps:
        for path in peer.log_files(app):
            try:
                total += os.stat(path).st_size
            except OSError:
                continue
    return total


def capture(bench, peer, kind, label, programs, lines):
    """Starts `programs` apps that print `lines` lines each and exit; lines/s, CPU s per GB, what became of the lines."""
    marks = os.path.join(peer.dir, f"{label}-marks")
    open(marks, "w", encoding="utf-8").close()
    apps = [App(f"{label}{number}", [bench.app("logger"), str(lines), str(LENGTH), f"tag=T{number}", f"file={marks}"],
                autorestart=False, logs=True) for number in range(programs)]
    spent = peer.cpu()
    peer.start(apps)
    # Done when every program has ended and the files have not grown for a while; the time is that of the last growth.
    grown, known, limit = probe.now_ns(), -1, time.monotonic() + 240
    while True:
        now, total = probe.now_ns(), size(peer, apps)
        if total != known:
            grown, known = now, total
        elif now - grown > 1_500_000_000 and probe.read(marks).count("\n") >= 2 * programs:
            break
        if time.monotonic() > limit:
            bench.note("    the programs have not ended after 240 s")
            break
        time.sleep(0.002)
    spent = peer.cpu() - spent
    times = [int(line.split()[0]) for line in probe.read(marks).splitlines()]
    rate = programs * lines / max(1, grown - min(times)) * 1e9
    per_gb = spent / 1e9 / (programs * lines * LENGTH / 1e9)
    tally = loglines.Tally()
    for number, app in enumerate(apps):
        tally.add(loglines.check(peer.log_files(app), kind.name, f"T{number}", lines, LENGTH))
    bench.note(f"    {rate / 1e6:.2f} M lines/s, {per_gb:.2f} CPU s per GB; wrong: {tally}")
    return rate / 1e6, per_gb, tally


def logs(bench):
    cases = (("one", "1 app", 1, bench.scale(2_000_000)), ("ten", "10 apps at once", 10, bench.scale(200_000)))
    for label, words, programs, lines in cases:
        rates, costs, wrong = {}, {}, {}
        for kind in bench.supervisors():
            with bench.attempt(kind), bench.boot(kind) as peer:
                rates[kind.name], costs[kind.name], wrong[kind.name] = capture(bench, peer, kind, label, programs, lines)
        what = f"log capture, {words}, {programs * lines} lines"
        bench.figure(what, "M lines/s", rates, "≥ supervisord",
                     lambda rates=rates: rates["stead"] >= rates["supervisord"])
        bench.figure(f"{what}: CPU", "s/GB", costs, "< 2", lambda costs=costs: costs["stead"] < 2)
        verdict(bench, f"{what}: lines wrong", wrong)
    tails(bench)


def tails(bench):
    """Programs that print 10,000 lines and exit, ten at once."""
    rounds, wrong = bench.scale(5), {}
    for kind in bench.supervisors():
        total = loglines.Tally()
        for number in range(rounds if kind is Stead else 1):
            with bench.attempt(kind), bench.boot(kind) as peer:
                total.add(capture(bench, peer, kind, f"tail{number}-", 10, 10_000)[2])
        wrong[kind.name] = total
    verdict(bench, "10 programs print 10000 lines and exit: lines wrong", wrong)


def verdict(bench, what, wrong):
    clean = wrong["stead"].clean() if "stead" in wrong else False
    bench.figure(what, "", {name: str(tally) for name, tally in wrong.items()}, "none", lambda: clean)
