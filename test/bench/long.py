#!/usr/bin/env python3
"""long - Tally at a constant rate for a long time: latency from the moment at which each request
was to be asked, and whether memory or lag grow.  make bench-long runs it.

  SCALE=1 BENCH_SECONDS=600       as for compare
  BENCH_RATE=1000                 requests per second, whatever the answers do
  BENCH_DATASET=general           or comments, comments-cached
  BENCH_EVERY=10                  seconds between two lines

Slopes are of the least-squares line over the second half, when pools and caches are full.  It
prints, and judges nothing."""

import os
import signal
import statistics
import sys
import time

from compare import table, wrk
from constant import Constant
from services import ROOT, Scale, Stage, machine_cpu_s, metric

WARM_S = 20


def slope(points):
    """Of the second half, for each hour."""
    half = points[len(points) // 2:]
    if len(half) < 2:
        return 0.0
    times, values = zip(*half)
    return statistics.linear_regression(times, values).slope * 3600


class Watch:
    """What is looked at between two lines."""

    def __init__(self, service):
        self.service = service
        self.processes = {name: process for name, process in service.processes.items()
                          if name != "jit"}
        self.began = time.monotonic()
        self.points = {}
        self.cpu = None

    def lag(self):
        """Requests that no worker has read, and replies that the gateway has not."""
        return (metric(self.service.metrics, r'tally_kafka_lag\{topic="tally.requests.sync"')
                + metric(self.service.address, r'tally_kafka_lag\{topic="tally.replies"'))

    def look(self, figures):
        """A row of the table."""
        at = time.monotonic() - self.began
        values = {f"{name} MiB": process.resident_mb()
                  for name, process in self.processes.items()}
        values["lag"] = self.lag()
        for name, value in {**values, "p50": figures["p50"], "p99": figures["p99"]}.items():
            self.points.setdefault(name, []).append((at, value))
        cpu = {name: process.cpu_s() for name, process in self.processes.items()}
        used = sum(cpu.values()) - sum(self.cpu.values()) if self.cpu else 0
        self.cpu = cpu
        served = max(1, figures["ok"])
        return [f"{figures['at']:.0f}", f"{figures['rate']:.0f}", figures["failed"],
                figures["late"], *(f"{figures[name]:.1f}" for name in
                                   ("p50", "p99", "p999", "max")),
                *(f"{value:.0f}" for value in values.values()),
                f"{used * 1e6 / served:.0f}" if used else ""]

    def heads(self):
        return ["at s", "req/s", "failed", "late", "p50 ms", "p99", "p99.9", "max",
                *(f"{name} MiB" for name in self.processes), "lag", "CPU us/req"]


def watch(service, scale):
    """Runs the load generator and prints a table as it goes; what was watched."""
    seen = Watch(service)
    widths = [max(7, len(head)) for head in seen.heads()]
    print("  ".join(head.rjust(width) for head, width in zip(seen.heads(), widths)))
    for figures in Constant(service, os.environ.get("BENCH_DATASET", "general"), scale.users,
                            os.environ.get("BENCH_RATE", "1000"),
                            os.environ.get("BENCH_SECONDS", "600"),
                            os.environ.get("BENCH_EVERY", "10")):
        row = seen.look(figures)
        print("  ".join(str(cell).rjust(width) for cell, width in zip(row, widths)), flush=True)
    return seen


def main():
    scale = Scale(float(os.environ.get("SCALE", 1)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(scale) as stage:
        service, _ = stage.tally()
        wrk(service, "general", scale, 64, WARM_S)
        busy, steal = machine_cpu_s()
        print(f"{scale}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        seen = watch(service, scale)
        more_busy, more_steal = machine_cpu_s()
    print(f"\nload {os.getloadavg()[0]:.1f}; the machine was busy for {more_busy - busy:.0f} s and "
          f"robbed of {more_steal - steal:.0f} s of CPU\n")
    table(["", "first", "last", "slope an hour"],
          [[name, f"{points[0][1]:.1f}", f"{points[-1][1]:.1f}", f"{slope(points):+.1f}"]
           for name, points in seen.points.items()])


if __name__ == "__main__":
    main()
