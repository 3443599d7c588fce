#!/usr/bin/env python3
"""growth - what a request costs as things grow: log rows, rows of an answer, datasets, partitions,
workers, gateways.  make bench-growth runs it; it prints a table for each and draws deploy/growth.svg.

  BENCH_ROUNDS=3 BENCH_SECONDS=3
  BENCH_AXES="logs rows datasets partitions workers gateways"
  BENCH_SCALES="0.1 1 5"          of the data on the axis of logs: 1 M, 10 M, 50 M rows
  SCALE=0.1                       of the data on the other axes

CPU for each request is what is compared: it tells more than rates where all share two cores."""

import concurrent.futures
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import confluent_kafka.admin

import compare
from compare import WARM_S, median, table, wrk
from services import BUILD, ROOT, Scale, Service, Stage, say

PICTURE = ROOT / "deploy/growth.svg"
CONNECTIONS = 64
ROWS = 1, 10, 100, 1_000, 10_000, 50_000
DATASETS = 4, 40, 250  # 256 is the limit
PARTITIONS = 4, 12, 48
WORKERS = 1, 2, 4
GATEWAYS = 1, 2
TOPIC = "tally.requests.sync"
SHOWN = "gateway", "worker", "kafka", "postgres"

ROWS_SQL = """-- dataset rows-{n}: {n} rows for anybody
-- param  login text required
-- column i int
-- column text text
-- order  i
-- step row on db1 by login
SELECT q.login, i, 'row ' || i AS text FROM unnest(:login) AS q(login), generate_series(1, {n}) AS i;
"""


class Several:
    """Processes that do one work."""

    def __init__(self, processes):
        self.processes = processes

    def cpu_s(self):
        return sum(process.cpu_s() for process in self.processes)

    def resident_mb(self):
        return sum(process.resident_mb() for process in self.processes)


class Crowd:
    """Workers and gateways beside those of Stage.tally."""

    def __init__(self, stage, n_workers, n_gateways, **settings):
        self.service, self.stop_first = stage.tally(**settings)
        self.others, self.addresses = [], [self.service.address]
        workers = [self.service.processes["worker"]]
        gateways = [self.service.processes["gateway"]]
        for i in range(1, n_workers):
            child, _ = stage.start([BUILD / "bin/tally-worker"], f"worker{i}", "event=ready",
                                   TALLY_METRICS_LISTEN="127.0.0.1:0", **settings)
            self.others.append(child)
            workers.append(child.process)
        for i in range(1, n_gateways):
            child, found = stage.start([BUILD / "bin/tally-gateway"], f"gateway{i}",
                                       r"event=listening.* port=(\d+)", TALLY_LISTEN="127.0.0.1:0",
                                       **settings)
            self.others.append(child)
            gateways.append(child.process)
            self.addresses.append(f"127.0.0.1:{found[1]}")
        for address in self.addresses:
            stage.await_ready(address)
        self.service.processes |= {"worker": Several(workers), "gateway": Several(gateways)}

    def stop(self):
        for child in self.others:
            child.stop()
        self.stop_first()


def ask(service, addresses, dataset, scale, connections, seconds):
    """One run at each gateway, at the same time; what both cost together."""
    compare.VARIANTS.setdefault(dataset, (dataset, None))
    if len(addresses) == 1:
        return wrk(service, dataset, scale, connections, seconds)
    parts = [Service(service.name, address, service.metrics, service.processes, service.lane)
             for address in addresses]
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        runs = list(pool.map(lambda part: wrk(part, dataset, scale, connections // len(parts),
                                              seconds), parts))
    rate = sum(run.rate for run in runs)
    for run in runs:  # each counted the processes' whole CPU over its own requests
        run.cpu_us = {name: us * run.rate / rate for name, us in run.cpu_us.items()}
        run.rate = rate
    return runs[0]


class Axis:
    """Points of one axis and what a request cost there."""

    def __init__(self, name, dataset="general", connections=CONNECTIONS):
        self.name = name
        self.dataset = dataset
        self.connections = connections
        self.is_wide = False  # costs of several decades
        self.points = []

    def measure(self, value, service, addresses, scale, rounds, seconds, dataset=None):
        dataset = dataset or self.dataset
        runs = []
        ask(service, addresses, dataset, scale, self.connections, 1)
        for _ in range(rounds):
            runs.append(ask(service, addresses, dataset, scale, self.connections, seconds))
        errors = sum(run.errors for run in runs)
        if errors:
            sys.exit(f"growth: {errors} errors at {self.name} {value}")
        cost = {name: median(runs, lambda run, name=name: run.cpu_us[name]) for name in SHOWN}
        self.points.append((value, cost, median(runs, lambda run: run.rate),
                            median(runs, lambda run: run.batch),
                            median(runs, lambda run: run.bytes)))
        say(f"{self.name} {value}: {sum(cost.values()):.0f} us a request, load "
            f"{os.getloadavg()[0]:.1f}")

    def print(self):
        table([self.name, *[f"{name} us" for name in SHOWN], "all us", "req/s", "batch", "bytes"],
              [[value, *[f"{cost[name]:.0f}" for name in SHOWN], f"{sum(cost.values()):.0f}",
                f"{rate:.0f}", f"{batch:.1f}", f"{size:.0f}"]
               for value, cost, rate, batch, size in self.points])


# ---- axes ------------------------------------------------------------------------------------------

def warm(service, scale):
    """The broker's compiler is busy for its first hundred thousand messages."""
    ask(service, [service.address], "general", scale, CONNECTIONS, WARM_S)


def over_logs(rounds, seconds):
    axis = Axis("log rows (100 a user)")
    for text in os.environ.get("BENCH_SCALES", "0.1 1 5").split():
        scale = Scale(float(text))
        with Stage(scale) as stage:
            service, _ = stage.tally()
            warm(service, scale)
            axis.measure(scale.logs, service, [service.address], scale, rounds, seconds)
    return axis


def over_rows(stage, rounds, seconds):
    axis = Axis("rows of an answer", connections=8)
    axis.is_wide = True
    folder = stage.folder / "rows"
    shutil.copytree(stage.settings["TALLY_DATASETS"], folder)
    for n in ROWS:
        (folder / f"rows-{n}.sql").write_text(ROWS_SQL.format(n=n))
    crowd = Crowd(stage, 1, 1, TALLY_DATASETS=str(folder))
    for n in ROWS:
        axis.measure(n, crowd.service, crowd.addresses, stage.scale, rounds, seconds, f"rows-{n}")
    crowd.stop()
    return axis


def over_datasets(stage, rounds, seconds):
    axis = Axis("datasets")
    text = (Path(stage.settings["TALLY_DATASETS"]) / "comments.sql").read_text()
    for n in DATASETS:
        folder = stage.folder / f"datasets-{n}"
        shutil.copytree(ROOT / "deploy/datasets", folder)
        for i in range(n - len(list(folder.glob("*.sql")))):
            (folder / f"copy-{i}.sql").write_text(
                text.replace("dataset  comments", f"dataset  copy-{i}", 1))
        crowd = Crowd(stage, 1, 1, TALLY_DATASETS=str(folder))
        axis.measure(n, crowd.service, crowd.addresses, stage.scale, rounds, seconds)
        crowd.stop()
    return axis


def over_partitions(stage, rounds, seconds):
    axis = Axis("partitions of the requests")
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": stage.settings["TALLY_KAFKA"]})
    for n in PARTITIONS:
        if n > PARTITIONS[0]:
            more = confluent_kafka.admin.NewPartitions(TOPIC, n)
            admin.create_partitions([more])[TOPIC].result(30)
        crowd = Crowd(stage, 1, 1)
        axis.measure(n, crowd.service, crowd.addresses, stage.scale, rounds, seconds)
        crowd.stop()
    return axis


def over_processes(stage, name, counts, rounds, seconds):
    axis = Axis(name)
    for n in counts:
        crowd = Crowd(stage, n if name == "workers" else 1, n if name == "gateways" else 1)
        axis.measure(n, crowd.service, crowd.addresses, stage.scale, rounds, seconds)
        crowd.stop()
    return axis


# ---- the picture -----------------------------------------------------------------------------------

def all_of(number):
    """Over some decades: the whole."""
    total = "+".join(f"${i + 2}" for i in range(len(SHOWN)))
    return ["set logscale y", "set yrange [10:*]",
            f"plot $axis{number} using ({total}):xtic(1) with linespoints lw 2 title 'all'",
            "unset logscale y", "set yrange [0:*]"]


def parts_of(number):
    return ["plot " + ", ".join(f"$axis{number} using {i + 2}:xtic(1) title '{name}'"
                                for i, name in enumerate(SHOWN))]


def draw(axes):
    """Stacked CPU for each request over each axis, by gnuplot."""
    script = [f"set terminal svg size 1000,{330 * ((len(axes) + 1) // 2)} font 'sans-serif,12'",
              f"set output '{PICTURE}'", "set style data histograms", "set style histogram rowstacked",
              "set style fill solid 0.8 border -1", "set boxwidth 0.6", "set yrange [0:*]",
              "set key outside right", "set grid ytics",
              f"set multiplot layout {(len(axes) + 1) // 2},2"]
    for number, axis in enumerate(axes):
        script += [f"$axis{number} << END"]
        script += [" ".join([f'"{value:,}"', *[f"{cost[name]:.1f}" for name in SHOWN]])
                   for value, cost, *_ in axis.points]
        script += ["END", f"set title '{axis.name}'", "set ylabel 'CPU, us a request'"]
        script += all_of(number) if axis.is_wide else parts_of(number)
    subprocess.run(["gnuplot"], input="\n".join([*script, "unset multiplot", ""]), text=True,
                   check=True)


def main():
    if not shutil.which("wrk") or not shutil.which("gnuplot"):
        sys.exit("growth: no wrk or gnuplot here; deploy/dev/packages bench installs them")
    rounds = int(os.environ.get("BENCH_ROUNDS", 3))
    seconds = int(os.environ.get("BENCH_SECONDS", 3))
    wanted = os.environ.get("BENCH_AXES",
                            "logs rows datasets partitions workers gateways").split()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.chdir(ROOT)
    axes = [over_logs(rounds, seconds)] if "logs" in wanted else []
    scale = Scale(float(os.environ.get("SCALE", 0.1)))
    with Stage(scale) as stage:
        service, stop = stage.tally()
        warm(service, scale)
        stop()
        for name, count in ("rows", over_rows), ("datasets", over_datasets):
            if name in wanted:
                axes.append(count(stage, rounds, seconds))
        for name, counts in ("workers", WORKERS), ("gateways", GATEWAYS):
            if name in wanted:
                axes.append(over_processes(stage, name, counts, rounds, seconds))
        if "partitions" in wanted:  # last: a topic keeps its partitions
            axes.append(over_partitions(stage, rounds, seconds))
    print(f"general at {CONNECTIONS} connections (rows of an answer: at 8), {scale} where the axis "
          f"is another; medians of {rounds} rounds of {seconds} s; {os.cpu_count()} cores\n")
    for axis in axes:
        axis.print()
    draw(axes)
    print(f"drawn: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
