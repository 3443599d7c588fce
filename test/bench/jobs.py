#!/usr/bin/env python3
"""jobs - jobs at a constant rate, polled meanwhile: whether the recorder keeps up, how long polls
take, and whether each job that was accepted is in the store.  make bench-jobs runs it.

  SCALE=1 BENCH_SECONDS=60        as for compare
  BENCH_RATE=2000                 jobs per second; for every nine of them a recent one is polled
  BENCH_DATASET=general           of the jobs

It prints, and judges nothing but that no job is missing."""

import os
import signal
import subprocess
import sys
import time

from compare import table
from constant import Constant
from services import ROOT, Scale, Stage, metric

WARM_S = 40  # at half the rate: the broker's compiler is busy for its first hundred thousand messages
RECORD_S = 300  # at the end, for what is not recorded yet
DATASET = os.environ.get("BENCH_DATASET", "general")
LAG = r"tally_recorder_lag\b"


def count_jobs(url):
    """(all jobs, final ones) of the store."""
    asked = subprocess.run(
        ["psql", "-q", "-X", "-A", "-t", "-F", " ", url, "-c",
         "SELECT count(*), count(*) FILTER (WHERE state >= 'succeeded') FROM jobs"],
        check=True, text=True, stdout=subprocess.PIPE)
    return tuple(map(int, asked.stdout.split()))


def load(service, scale, rate, seconds):
    """Submits rate jobs a second and polls; a row for each interval, and how many were accepted."""
    rows, accepted, polls = [], 0, None
    for figures in Constant(service, f"jobs:{DATASET}", scale.users, rate * 10 / 9, seconds, 10):
        if "poll_ok" in figures:
            polls = figures
            continue
        accepted += figures["ok"]
        rows.append([f"{figures['at']:.0f}", f"{figures['rate']:.0f}", figures["failed"],
                     f"{figures['p50']:.1f}", f"{figures['p99']:.1f}",
                     polls["poll_ok"], polls["poll_failed"], f"{polls['poll_p50']:.1f}",
                     f"{polls['poll_p99']:.1f}", f"{polls['poll_max']:.1f}",
                     f"{metric(service.address, LAG):.0f}"])
    return rows, accepted


def await_recorded(service, url, accepted):
    """Until all are final in the store: how long that took, and what is there then."""
    began = time.monotonic()
    while True:
        n_all, n_final = count_jobs(url)
        if n_final >= accepted and metric(service.address, LAG) == 0:
            return time.monotonic() - began, n_all, n_final
        if time.monotonic() > began + RECORD_S:
            sys.exit(f"bench: of {accepted} jobs {n_final} are final, {n_all} are recorded")
        time.sleep(0.2)


def main():
    scale = Scale(float(os.environ.get("SCALE", 1)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(scale, jobs=True) as stage:
        service, _ = stage.tally()
        print(f"{scale}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        rate = float(os.environ.get("BENCH_RATE", 2000))
        _, warm = load(service, scale, rate / 2, WARM_S)
        await_recorded(service, stage.settings["TALLY_JOBS"], warm)
        before = {name: process.cpu_s() for name, process in service.processes.items()}
        rows, accepted = load(service, scale, rate, int(os.environ.get("BENCH_SECONDS", 60)))
        took_s, n_all, n_final = await_recorded(service, stage.settings["TALLY_JOBS"],
                                                warm + accepted)
        used = {name: process.cpu_s() - before[name]
                for name, process in service.processes.items()}
        memory = {name: process.resident_mb() for name, process in service.processes.items()}
    table(["at s", "jobs/s", "failed", "p50 ms", "p99", "polls", "failed", "p50 ms", "p99", "max",
           "recorder's lag"], rows)
    print(f"\n{warm} + {accepted} jobs were accepted, {n_all} recorded, {n_final} final, the last of them "
          f"{took_s:.1f} s after the last submission; load {os.getloadavg()[0]:.1f}\n")
    table(["process", "CPU us/job", "MiB"],
          [[name, f"{used[name] * 1e6 / max(1, accepted):.0f}", f"{memory[name]:.0f}"]
           for name in used])


if __name__ == "__main__":
    main()
