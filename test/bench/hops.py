#!/usr/bin/env python3
"""hops - where the time of a request goes, hop by hop (Server-Timing), alone and beside others,
and the CPU that it takes of each process.  make bench-profile runs it.

  SCALE=1                               as for compare
  BENCH_REQUESTS=1000                   of which the medians are
  BENCH_CONNECTIONS="0 64 256"          of wrk beside them

queue is counted by the broker's clock, in whole milliseconds.  It prints, and judges nothing."""

import http.client
import os
import random
import re
import signal
import statistics
import subprocess
import sys

from compare import Choice, table, warm_up
from services import BENCH, ROOT, Stage

DATASETS = "general", "comments"
SPARE_S = 60  # wrk is ended when it is not needed any more


def sample(service, dataset, scale, n):
    """Medians of each entry of Server-Timing, in ms, in the order of the way."""
    chance = random.Random(dataset)
    connection = http.client.HTTPConnection(service.address, timeout=35)
    seen = {}
    for _ in range(n):
        connection.request("GET", f"/api/{dataset}/?login=user{chance.randint(1, scale.users)}")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"bench: {answer.status}: {body[:200]}")
        for name, ms in re.findall(r"([\w-]+);dur=([\d.]+)", answer.headers["Server-Timing"]):
            seen.setdefault(name, []).append(float(ms))
    connection.close()
    return {name: statistics.median(values) for name, values in seen.items()}


class Beside:
    """wrk at so many connections, for as long as the block takes."""

    def __init__(self, service, dataset, scale, connections):
        self.command = ["wrk", "-t1", f"-c{connections}", f"-d{SPARE_S}s", "--timeout", "30s",
                        "-s", str(BENCH / "ask.lua"), f"http://{service.address}", "--", dataset,
                        str(scale.users), "7"]
        self.connections = connections

    def __enter__(self):
        if self.connections:
            self.wrk = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)

    def __exit__(self, *_):
        if self.connections:
            self.wrk.send_signal(signal.SIGINT)
            self.wrk.wait(30)


def rows(service, choice, n):
    for dataset in DATASETS:
        for connections in choice.connections:
            before = {name: process.cpu_s() for name, process in service.processes.items()}
            requests = service.batches()[0]
            with Beside(service, dataset, choice.scale, connections):
                medians = sample(service, dataset, choice.scale, n)
            served = max(1, service.batches()[0] - requests)
            cpu_us = {name: (process.cpu_s() - before[name]) * 1e6 / served
                      for name, process in service.processes.items()}
            yield [dataset, connections, " ".join(f"{name} {ms:.2f}"
                                                  for name, ms in medians.items()),
                   *(f"{us:.0f}" for us in cpu_us.values())]


def main():
    os.environ.setdefault("BENCH_CONNECTIONS", "0 64 256")
    choice = Choice()
    n = int(os.environ.get("BENCH_REQUESTS", 1000))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    with Stage(choice.scale) as stage:
        service, _ = stage.tally()
        warm_up(service, choice.scale)
        print(f"{choice.scale}; medians of {n}; load {os.getloadavg()[0]:.1f}\n")
        table(["", "beside", "ms", *(f"{name} us" for name in service.processes)],
              list(rows(service, choice, n)))


if __name__ == "__main__":
    main()
