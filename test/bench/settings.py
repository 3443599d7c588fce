#!/usr/bin/env python3
"""settings - Tally beside itself: with other settings, or of another build.

  test/bench/settings.py '' 'TALLY_BATCHES_IN_FLIGHT=3' 'BUILD=/tmp/other/build/release' ...

Each argument is one contender: settings for gateway and worker, and BUILD.  They take turns on one
broker and one database, since they would share the topics.  BENCH_... and SCALE as for compare; by
default general and comments at 1, 64 and 256."""

import os
import signal
import sys
from pathlib import Path

from compare import PROCESSES, Choice, median, table, warm_up, wrk
from services import BUILD, ROOT, Stage, say

os.environ.setdefault("BENCH_VARIANTS", "general comments")


def start(stage, contender):
    settings = dict(word.split("=", 1) for word in contender.split())
    build = Path(settings.pop("BUILD", BUILD))
    return stage.tally(contender or "as it is", build, **settings)


def measure(stage, contenders, choice):
    """{(variant, connections, contender): runs}"""
    runs = {}
    for number in range(choice.rounds):
        for contender in contenders:
            service, stop = start(stage, contender)
            wrk(service, "general", choice.scale, 64, 1)
            for variant in choice.variants:
                for n in choice.connections:
                    runs.setdefault((variant, n, service.name), []).append(
                        wrk(service, variant, choice.scale, n, choice.seconds))
            stop()
        say(f"round {number + 1} of {choice.rounds}: load {os.getloadavg()[0]:.1f}")
    return runs


def show(runs):
    rows = []
    for (variant, n, name), these in sorted(runs.items()):
        rows.append([variant, n, name, f"{median(these, lambda run: run.rate):.0f}",
                     f"{median(these, lambda run: run.p50_ms):.2f}",
                     f"{median(these, lambda run: run.p99_ms):.1f}",
                     *(f"{median(these, lambda run: run.cpu_us[process]):.0f}"
                       for process in PROCESSES if process in these[0].cpu_us),
                     f"{median(these, lambda run: run.served_us):.0f}",
                     f"{median(these, lambda run: run.batch):.1f}",
                     sum(run.errors for run in these)])
    processes = [process for process in PROCESSES if process not in ("direct", "batched")]
    table(["", "at", "with", "req/s", "p50 ms", "p99", *processes, "served us", "batch", "errors"],
          rows)


def main():
    contenders = sys.argv[1:]
    if not contenders:
        sys.exit(__doc__)
    choice = Choice()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(choice.scale) as stage:
        service, stop = start(stage, contenders[0])
        warm_up(service, choice.scale)
        stop()
        show(measure(stage, contenders, choice))


if __name__ == "__main__":
    main()
