#!/usr/bin/env python3
"""compare - Tally beside going direct: requests per second, latency, CPU for each request, memory.

make bench runs it.  Three services answer the same datasets from the same databases: Tally (gateway,
Kafka, worker); "direct", which asks the databases for each request by itself, with the number of
connections that suits it best; "batched", which gathers requests into batches within one process and
so shows the most that batching can give.  Rounds alternate between them.  It prints, and judges
nothing: the load generator and everything else share the machine.

  SCALE=1                       of the data: 100 k users, 500 k posts, 10 M log rows
  BENCH_ROUNDS=3 BENCH_SECONDS=4 BENCH_CONNECTIONS="1 64 256"
  BENCH_VARIANTS="general comments comments-cached general-hot comments-hot"
                                          comments-cached: the posts are, for 5 s; hot: 20 logins
  BENCH_DIRECT=8 BENCH_BATCHED=2          connections and batches in flight; tried out without them
  BENCH_DATA=build/bench/data             what is loaded stays there
  TALLY_...                               settings to be compared pass through
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys

from services import BENCH, ROOT, Scale, Stage, machine_cpu_s, say

HOT = 20
WARM_S = 15
# Name: dataset, how many different logins (None: all).
VARIANTS = {
    "general": ("general", None),
    "comments": ("comments", None),
    "comments-cached": ("comments-cached", None),
    "general-hot": ("general", HOT),
    "comments-hot": ("comments", HOT),
}
# jit is Kafka's compiler, which has ended when a broker has run for some minutes.
PROCESSES = "gateway", "worker", "kafka", "direct", "batched", "postgres", "jit", "wrk"


class Run:
    """What one run of wrk at one service came to."""

    def __init__(self, found, cpu_s, batches):
        self.rate = found["requests"] / found["us"] * 1e6
        self.p50_ms = found["p50"] / 1e3
        self.p99_ms = found["p99"] / 1e3
        self.errors = found["errors"]
        self.bytes = found["bytes"] / max(1, found["requests"])
        self.cpu_us = {name: s * 1e6 / max(1, found["requests"]) for name, s in cpu_s.items()}
        self.served_us = sum(us for name, us in self.cpu_us.items() if name not in ("jit", "wrk"))
        self.batch = batches[0] / batches[1] if batches[1] else 0


seed = 0


def wrk(service, variant, scale, connections, seconds):
    """One run; a seed of its own, so that no run finds what another has left in a cache."""
    global seed
    seed += 1
    dataset, users = VARIANTS[variant]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s",
               "-s", BENCH / "ask.lua", f"http://{service.address}", "--", dataset,
               str(users or scale.users), str(seed)]
    before = {name: process.cpu_s() for name, process in service.processes.items()}
    requests, batches = service.batches()
    own = os.times()
    output = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    now = os.times()
    cpu_s = {name: process.cpu_s() - before[name] for name, process in service.processes.items()}
    cpu_s["wrk"] = (now.children_user + now.children_system
                    - own.children_user - own.children_system)
    more_requests, more_batches = service.batches()
    found = json.loads(output[output.index('{"requests"'):].splitlines()[0])
    return Run(found, cpu_s, (more_requests - requests, more_batches - batches))


# ---- the best settings of the others -----------------------------------------


def try_out(stage, name, candidates, arguments):
    """The candidate with the most requests of general per second at 64, of two short runs."""
    rates = {candidate: 0 for candidate in candidates}
    for _ in range(2):
        for candidate in candidates:
            service, stop = stage.direct(name, *arguments(candidate))
            wrk(service, "general", stage.scale, 64, 1)
            rates[candidate] += wrk(service, "general", stage.scale, 64, 2).rate / 2
            stop()
    print(f"{name}: " + ", ".join(f"{rate:.0f}/s with {candidate}"
                                  for candidate, rate in rates.items()))
    return max(rates, key=rates.get)


def baselines(stage):
    """Each request by itself, on so many connections; and batches, so many in flight."""
    def one_by_one(connections):
        return connections, 1, 4096

    def in_batches(in_flight):
        return 4, 256, in_flight

    connections = int(os.environ.get("BENCH_DIRECT", 0)) or try_out(
        stage, "direct", (2, 4, 8, 16, 32), one_by_one)
    in_flight = int(os.environ.get("BENCH_BATCHED", 0)) or try_out(
        stage, "batched", (1, 2, 3, 4), in_batches)
    print(f"direct has {connections} connections to each database, batched {in_flight} batches "
          "in flight")
    return [stage.direct("direct", *one_by_one(connections))[0],
            stage.direct("batched", *in_batches(in_flight))[0]]


# ---- rounds ------------------------------------------------------------------


def measure(stage, services, variants, connections, rounds, seconds):
    """{(variant, connections, service): runs}"""
    runs = {}
    for number in range(rounds):
        busy, steal = machine_cpu_s()
        for variant in variants:
            for n in connections:
                for service in services:
                    run = wrk(service, variant, stage.scale, n, seconds)
                    runs.setdefault((variant, n, service.name), []).append(run)
        more_busy, more_steal = machine_cpu_s()
        say(f"round {number + 1} of {rounds}: load {os.getloadavg()[0]:.1f}, the machine was busy "
            f"for {more_busy - busy:.0f} s and robbed of {more_steal - steal:.0f} s of CPU")
    return runs


def median(runs, what):
    return statistics.median(what(run) for run in runs)


def ratio(runs, others, what):
    """The median of the rounds' ratios: both sides of one were measured in the same minute."""
    return statistics.median(what(run) / what(other) for run, other in zip(runs, others))


# ---- tables ------------------------------------------------------------------


def table(heads, rows):
    widths = [max(len(str(row[i])) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
    print()


def print_rates(runs, variants, connections):
    heads = ["requests per second (p50 ms, p99 ms)", "at", "tally", "", "direct", "", "batched", "",
             "rate/direct", "rate/batched", "CPU/direct", "CPU/batched"]
    rows = []
    for variant in variants:
        for n in connections:
            row = [variant, n]
            for name in "tally", "direct", "batched":
                these = runs[variant, n, name]
                row += [f"{median(these, lambda run: run.rate):.0f}",
                        f"({median(these, lambda run: run.p50_ms):.2f} "
                        f"{median(these, lambda run: run.p99_ms):.1f})"]
            tally = runs[variant, n, "tally"]
            for what in (lambda run: run.rate), (lambda run: run.served_us):
                row += [f"{ratio(tally, runs[variant, n, name], what):.2f}"
                        for name in ("direct", "batched")]
            rows.append(row)
    table(heads, rows)


def print_cpu(runs, variants, connections):
    rows = []
    for variant in variants:
        for n in connections:
            for name in "tally", "direct", "batched":
                these = runs[variant, n, name]
                row = [variant if name == "tally" else "", n, name]
                row += [f"{median(these, lambda run: run.cpu_us[process]):.0f}"
                        if process in these[0].cpu_us else "" for process in PROCESSES]
                row += [f"{median(these, lambda run: run.served_us):.0f}",
                        f"{median(these, lambda run: run.batch):.1f}",
                        f"{median(these, lambda run: run.bytes):.0f}",
                        sum(run.errors for run in these)]
                rows.append(row)
    table(["CPU in us for each request", "at", "service", *PROCESSES, "served", "batch", "bytes",
           "errors"], rows)


def print_memory(services):
    rows = [[name, f"{process.resident_mb():.0f}"]
            for name, process in {name: process for service in services
                                  for name, process in service.processes.items()}.items()
            if name != "jit"]
    table(["memory at the end", "MiB"], rows)


class Choice:
    """What is to be measured, from the environment."""

    def __init__(self, scale=1, connections="1 64 256"):
        if not shutil.which("wrk"):
            sys.exit("bench: no wrk here; deploy/dev/packages bench installs it")
        self.scale = Scale(float(os.environ.get("SCALE", scale)))
        self.rounds = int(os.environ.get("BENCH_ROUNDS", 3))
        self.seconds = int(os.environ.get("BENCH_SECONDS", 4))
        self.connections = [int(n) for n in
                            os.environ.get("BENCH_CONNECTIONS", connections).split()]
        self.variants = os.environ.get("BENCH_VARIANTS", " ".join(VARIANTS)).split()


def warm_up(service, scale):
    """The broker's compiler is busy for its first hundred thousand messages."""
    for connections in 64, 256:
        wrk(service, "general", scale, connections, WARM_S)


def main():
    choice = Choice()
    scale, rounds, seconds = choice.scale, choice.rounds, choice.seconds
    connections, variants = choice.connections, choice.variants
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(scale) as stage:
        services = [stage.tally()[0]]
        print(f"{scale}; {os.cpu_count()} cores, which everything shares; load "
              f"{os.getloadavg()[0]:.1f}")
        warm_up(services[0], scale)
        services += baselines(stage)
        for service in services:
            for variant in variants:
                wrk(service, variant, scale, 64, 1)
        runs = measure(stage, services, variants, connections, rounds, seconds)
        print(f"\nmedians of {rounds} alternating rounds of {seconds} s; noise is to be expected, "
              "and where others use the machine\nratios of CPU for each request (served: without wrk "
              "and Kafka's compiler) tell more than ratios of rates\n")
        print_rates(runs, variants, connections)
        print_cpu(runs, variants, connections)
        print_memory(services)


if __name__ == "__main__":
    main()
