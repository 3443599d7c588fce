#!/usr/bin/env python3
"""clickhouse - Tally with db2 in PostgreSQL and in ClickHouse, the same rows in both: requests per
second, latency, how large the batches get, CPU for each request; with a query for each batch, and
with one for each request.  make bench-clickhouse runs it; it prints, and judges nothing.

  SCALE=1 BENCH_ROUNDS=3 BENCH_SECONDS=4    as for compare
  BENCH_CONNECTIONS=64"""

import itertools
import os
import signal
import sys

from compare import Choice, median, table, wrk
from services import PATIENT, ROOT, Stage, say

DATASETS = "general", "comments"
BATCHES = {"a batch": "256", "a request": "1"}  # a query for each: TALLY_BATCH_MAX
PROCESSES = "worker", "postgres", "clickhouse"


def measure(stage, db2, engine, batch, connections, seconds):
    """{dataset: run}, of a Tally of its own."""
    service, stop = stage.tally(TALLY_SOURCE_DB2=db2, TALLY_BATCH_MAX=batch, **PATIENT)
    if engine:
        service.processes["clickhouse"] = engine
    runs = {}
    for dataset in DATASETS:
        wrk(service, dataset, stage.scale, connections, 1)
        runs[dataset] = wrk(service, dataset, stage.scale, connections, seconds)
    stop()
    return runs


def row(dataset, db2, batch, runs):
    return [dataset, db2, batch, f"{median(runs, lambda run: run.rate):.0f}",
            f"{median(runs, lambda run: run.p50_ms):.1f}",
            f"{median(runs, lambda run: run.p99_ms):.1f}",
            f"{median(runs, lambda run: run.batch):.1f}",
            *(f"{median(runs, lambda run: run.cpu_us.get(name, 0)):.0f}" for name in PROCESSES),
            sum(run.errors for run in runs)]


def main():
    choice = Choice(connections="64")
    rounds, seconds, connections = choice.rounds, choice.seconds, choice.connections[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(choice.scale) as stage:
        places = {"postgres": (stage.settings["TALLY_SOURCE_DB2"], None),
                  "clickhouse": stage.clickhouse()}
        runs = {}
        for number, place, batch in itertools.product(range(rounds), places, BATCHES):
            say(f"round {number + 1} of {rounds}: {place}, a query for {batch}")
            for dataset, run in measure(stage, *places[place], BATCHES[batch], connections,
                                        seconds).items():
                runs.setdefault((dataset, place, batch), []).append(run)
        print(f"\n{stage.scale}; medians of {rounds} rounds of {seconds} s at {connections} "
              "connections; CPU in us for each request\n")
        table(["dataset", "db2", "a query for", "requests/s", "p50 ms", "p99 ms", "batch",
               *PROCESSES, "errors"],
              [row(*key, runs[key]) for key in sorted(runs, key=lambda key: DATASETS.index(key[0]))])


if __name__ == "__main__":
    main()
