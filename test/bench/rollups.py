#!/usr/bin/env python3
"""rollups - what they bring at 100 and at 10,000 logs a user, on both kinds of database: requests a
second, how large the batches get, CPU for each request of both databases and of the worker.
make bench-rollups runs it; it prints, and judges nothing.

  SCALE=0.3                          of the data: 3 M log rows, of 30,000 or of 300 users
  BENCH_ROUNDS=3 BENCH_SECONDS=4     as for compare
  BENCH_CONNECTIONS="64 256"
"""

import os
import signal
import subprocess
import sys

from compare import Choice, median, table, wrk
from services import PATIENT, ROOT, Scale, Stage, say

DATASETS = "general", "comments"
EACH = 100, 10_000


def databases_us(run):
    """Of both: db1 is in PostgreSQL."""
    return run.cpu_us["postgres"] + run.cpu_us.get("clickhouse", 0)


def each_us(runs, what):
    """For each request; nothing where a run was too short for a single answer."""
    return f"{median(runs, what):.0f}" if all(run.rate for run in runs) else "-"


class Bench:
    def __init__(self):
        self.choice = Choice(0.3, "64 256")
        self.rows = []

    def measure(self, stage, each, url, engine, datasets):
        """One more row for each dataset and number of connections."""
        kind, what = url.partition(":")[0], "rollups" if "rollup" in datasets.name else "logs"
        say(f"{each} logs a user, {kind}, {what}")
        service, stop = stage.tally(TALLY_SOURCE_DB2=url, TALLY_DATASETS=str(datasets), **PATIENT)
        if engine:
            service.processes["clickhouse"] = engine
        for dataset in DATASETS:
            wrk(service, dataset, stage.scale, self.choice.connections[0], 1)
            for n in self.choice.connections:
                runs = [wrk(service, dataset, stage.scale, n, self.choice.seconds)
                        for _ in range(self.choice.rounds)]
                self.rows.append([
                    each, dataset, n, kind, what, f"{median(runs, lambda run: run.rate):.0f}",
                    f"{median(runs, lambda run: run.batch):.1f}",
                    each_us(runs, databases_us),
                    each_us(runs, lambda run: run.cpu_us["worker"]),
                    sum(run.errors for run in runs)])
        stop()

    def compare(self, stage, each, url, engine):
        self.measure(stage, each, url, engine, ROOT / "deploy/datasets")
        stage.command("migrate", "add", "db2", "rollups", TALLY_SOURCE_DB2=url)
        if not engine:
            subprocess.run(["psql", "-q", "-X", "-c", "CALL close_days()", "-c", "VACUUM ANALYZE",
                            url], check=True)
        self.measure(stage, each, url, engine, ROOT / "deploy/datasets-rollup")

    def go(self):
        for each in EACH:
            scale = Scale(self.choice.scale.scale, self.choice.scale.logs // each)
            with Stage(scale) as stage:
                self.compare(stage, each, *stage.clickhouse())
                self.compare(stage, each, stage.settings["TALLY_SOURCE_DB2"], None)
        table(["logs a user", "dataset", "at", "db2", "from", "requests/s", "batch", "databases us",
               "worker us", "errors"],
              sorted(self.rows, key=lambda row: (row[0], row[1], row[3], row[2])))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    Bench().go()


if __name__ == "__main__":
    main()
