#!/usr/bin/env python3
"""backlog - many jobs wait; they are worked off while callers ask for rows: how fast, and what the
callers notice of it.  make bench-backlog runs it.

  SCALE=1                         as for compare
  BENCH_JOBS=100000               that wait before there is a worker
  BENCH_RATE=500                  requests for rows per second, before and meanwhile

It prints, and judges nothing but that no job is missing."""

import os
import signal
import statistics
import sys
import time

from compare import table, wrk
from constant import Constant
from jobs import await_recorded, count_jobs, load
from services import ROOT, Scale, Stage, machine_cpu_s, say

JOBS_PER_S = 2000
ALONE_S, MOST_S = 20, 300
SKIPPED_S = 3  # the first seconds are of a start


def callers(service, scale, seconds):
    """They ask for rows; figures for each second."""
    return Constant(service, "general", scale.users, os.environ.get("BENCH_RATE", "500"), seconds, 1)


def drain(url, n):
    """Until n jobs are final in the store: how long that took."""
    began = time.monotonic()
    while count_jobs(url)[1] < n:
        if time.monotonic() > began + MOST_S:
            sys.exit(f"bench: of {n} jobs {count_jobs(url)[1]} are final")
        time.sleep(1)
    return time.monotonic() - began


def row(name, lines):
    return [name, f"{statistics.mean(line['ok'] for line in lines):.0f}",
            sum(line["failed"] for line in lines),
            *(f"{statistics.median(line[what] for line in lines):.1f}" for what in ("p50", "p99")),
            f"{max(line['p99'] for line in lines):.1f}"]


def main():
    scale = Scale(float(os.environ.get("SCALE", 1)))
    n_jobs = int(os.environ.get("BENCH_JOBS", 100_000))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(scale, jobs=True) as stage:
        url = stage.settings["TALLY_JOBS"]
        service, _ = stage.tally()
        wrk(service, "general", scale, 64, 15)
        _, warm = load(service, scale, JOBS_PER_S / 2, 20)
        await_recorded(service, url, warm)
        alone = list(callers(service, scale, ALONE_S))[SKIPPED_S:]
        os.kill(service.processes["worker"].pid, signal.SIGTERM)
        say(f"queueing {n_jobs} jobs")
        _, queued = load(service, scale, JOBS_PER_S, n_jobs / JOBS_PER_S)
        busy, steal = machine_cpu_s()
        stage.worker()
        beside = callers(service, scale, MOST_S)
        took_s = drain(url, warm + queued)
        beside.end()
        meanwhile = list(beside)[SKIPPED_S:]
        if not meanwhile:
            sys.exit("bench: the jobs were done before callers were measured; BENCH_JOBS=100000")
        await_recorded(service, url, warm + queued)
        more_busy, more_steal = machine_cpu_s()
    print(f"{scale}; {os.cpu_count()} cores\n")
    table(["callers of rows", "answered per s", "failed", "p50 ms", "p99", "worst second's p99"],
          [row("alone", alone), row("beside the jobs", meanwhile)])
    print(f"\n{queued} jobs waited; they were worked off and recorded in {took_s:.1f} s, "
          f"{queued / took_s:.0f} a second; the machine was busy for {more_busy - busy:.0f} s of "
          f"CPU and robbed of {more_steal - steal:.0f}")


if __name__ == "__main__":
    main()
