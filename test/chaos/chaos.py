#!/usr/bin/env python3
"""chaos - clients of every kind at a constant rate while everything they need is killed, frozen,
slowed and cut in turn; afterwards a checker judges every answer.  make chaos runs it.

  MINUTES=5     how long faults strike
  SEED=n        the same seed is the same plan of faults and the same requests; else one is drawn
  RATE=200      operations a second
  ONLY=kill,cut only these kinds of faults; with the names of targets only those
  CHAOS_LOG=D   where the log goes; default build/chaos/SEED

chaos.py judge D  judges the run in that folder once more.

Exits with 1 when anything was lost, wrong, changed or stuck."""

import collections
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "contract")]

import confluent_kafka  # noqa: E402

import checker  # noqa: E402
import history as past  # noqa: E402
import plan  # noqa: E402
import recovery  # noqa: E402
import world  # noqa: E402
from driver import Driver, Line, Operation  # noqa: E402
from faults import Striker  # noqa: E402
from harness import ROOT, at_once  # noqa: E402
from stage import Stage  # noqa: E402
from test_contract import foreign_job_id  # noqa: E402

BEGIN_S = 240  # until all is well for the first time
WARM_S = 10
RECOVER_S = 120
SETTLE_S = 180
LOOK_AT = 20_000  # jobs, once more in the end
GROUPS = {"tally-workers-sync": "tally.requests.sync", "tally-workers-jobs": "tally.requests.jobs",
          "tally-recorder-requests": "tally.requests.jobs",
          "tally-recorder-results": "tally.results"}


def say(text):
    print(f"chaos: {text}", flush=True)


class Reader(threading.Thread):
    """Another service: reads the results as they come, from where Tally's gateways do."""

    def __init__(self, servers):
        super().__init__(daemon=True)
        self.first = {}
        self.is_over = threading.Event()
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": servers, "group.id": "chaos-reader", "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "log_level": 0})
        partitions = self.consumer.list_topics("tally.results", timeout=30).topics["tally.results"]
        self.consumer.assign([confluent_kafka.TopicPartition("tally.results", partition, 0)
                              for partition in partitions.partitions])

    def run(self):
        parts = past.Results()
        while True:
            message = self.consumer.poll(1)
            if message is None:
                if self.is_over.is_set():
                    break
            elif not message.error() and (found := parts.take(message)):
                self.first.setdefault(*found)
        self.consumer.close()


def lags(servers):
    """How many messages each group has not committed."""
    left = {}
    for group, topic in GROUPS.items():
        consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": group,
                                             "log_level": 0})
        try:
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            asked = [confluent_kafka.TopicPartition(topic, number) for number in partitions]
            left[f"{topic} of {group}"] = sum(
                consumer.get_watermark_offsets(found, timeout=30)[1] - max(found.offset, 0)
                for found in consumer.committed(asked, timeout=30))
        finally:
            consumer.close()
    return left


class Run:
    def __init__(self, stage, seed, minutes, rate, folder):
        self.stage, self.minutes, self.folder = stage, minutes, folder
        self.began = time.monotonic()
        self.log = Line(folder / "calls.jsonl")
        self.driver = Driver(stage.ports, stage.kafka_through["gateways"], self.log, seed, rate,
                             self.now, foreign_job_id)
        self.reader = Reader(stage.kafka_through["gateways"])
        self.striker = Striker(stage, self.now, say)

    def now(self):
        return time.monotonic() - self.began

    def until_well(self, since, limit):
        """Whether all kinds of calls that were asked after `since` succeeded within the limit."""
        until = self.now() + limit
        while not self.driver.is_well_since(since):
            self.stage.mend()
            if self.now() > until:
                return False
            time.sleep(0.05)
        return True

    def go(self, strikes):
        self.reader.start()
        self.driver.start()
        if not self.until_well(0, BEGIN_S):
            raise SystemExit("chaos: no good answers before the first fault")
        self._rest(WARM_S)
        last, end = [], self.now() + self.minutes * 60
        for strike in strikes:
            self._rest(strike.pause_s)
            if self.now() >= end:
                break
            self._await(last, strike.in_haste)
            self.stage.mend()
            last = self.striker.strike(strike)
        self._await(last, False)
        self._rest(5)

    def _await(self, notes, in_haste):
        """Until what the last strike did is over."""
        if notes and not in_haste:
            recovered = self.until_well(notes[0]["healed"], RECOVER_S)
            for note in notes:
                note["recovered"] = recovered

    def _rest(self, seconds):
        until = self.now() + seconds
        while self.now() < until:
            self.stage.mend()
            time.sleep(0.1)

    def settle(self):
        """Nothing new, no fault: what is left must come to an end."""
        say("settling")
        n_open = self.driver.finish(SETTLE_S)
        until = self.now() + SETTLE_S
        while any((left := lags(self.stage.kafka)).values()) and self.now() < until:
            time.sleep(0.5)
        self.look_again()
        self.reader.is_over.set()
        self.reader.join(SETTLE_S)
        self.log.close()
        return n_open, left

    def look_again(self):
        """Each job once more, as its callers see it."""
        requests = past.read_requests(self.stage.kafka, self.driver.foreign_id)
        ids = random.Random(self.driver.seed).sample(sorted(requests), min(LOOK_AT, len(requests)))

        def look(id):
            op = Operation(self.driver, 0, "last")
            op.dataset, op.login = requests[id].dataset, requests[id].login
            op.may_leave = lambda: False
            op.call("job", "GET", f"/v1/jobs/{id}", id=id)
            op.call("result", "GET", f"/v1/jobs/{id}/result", id=id)

        at_once(look, ids, 16)

    def history(self, n_open, left):
        stage = self.stage
        return past.History(
            calls=read_calls(self.folder), expected=world.expected(),
            requests=past.read_requests(stage.kafka, self.driver.foreign_id),
            results=past.read_results(stage.kafka), stored=past.read_store(stage.urls["jobs"]),
            read=self.reader.first, letters=past.read_letters(stage.kafka),
            samples=list(stage.samples),
            ends=[end for program in stage.programs.values() for end in program.ends],
            faults=self.striker.done, lags=left, n_open=n_open,
            n_begun=self.driver.begun, n_shed=self.driver.shed)


# ---- what is said in the end ---------------------------------------------------------------------

def figures(history):
    counts = collections.Counter(call["call"] for call in history.calls)
    statuses = collections.Counter(str(call["status"]) for call in history.calls)
    checked = sum("sha256" in call and call["status"] == 200 for call in history.calls)
    again = sum(len(results) - 1 for results in history.results.values())
    states = collections.Counter(results[0].state for results in history.results.values())
    yield (f"{history.n_begun} operations, {history.n_shed} not begun, {len(history.calls)} calls, "
           f"{sum(call['status'] == 'left' for call in history.calls)} of them given up")
    yield "calls: " + ", ".join(f"{name} {n}" for name, n in counts.most_common())
    yield "answers: " + ", ".join(f"{name} {n}" for name, n in statuses.most_common())
    yield (f"{checked} bodies compared; {len(history.requests)} jobs in the topic, "
           f"{again} of them answered again; " +
           ", ".join(f"{n} {state}" for state, n in states.most_common()))
    strikes = collections.Counter(fault["kind"] for fault in history.faults)
    yield (f"{len(history.faults)} faults: " +
           ", ".join(f"{kind} {n}" for kind, n in strikes.most_common()))
    for kind in "gateway", "worker":
        mine = [sample for sample in history.samples if sample[1].startswith(kind)]
        yield (f"{kind}: at most {max(sample[3] for sample in mine):.0f} MiB and "
               f"{max(sample[4] for sample in mine)} open files")


def report(history, folder):
    """Prints and keeps what came of it; whether all is right."""
    wrong = checker.check(history)
    lines = [*figures(history), "", "seconds until well again, median / worst",
             *recovery.table(recovery.measure(history.calls, history.faults)), ""]
    rules = collections.Counter(rule for rule, _ in wrong)
    lines += [f"{rule.__name__}: {rules[rule.__name__] or 'holds'}" for rule in checker.RULES]
    for name in rules:
        lines += [f"  {name}: {text}" for rule, text in wrong if rule == name][:10]
    (folder / "report.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines), flush=True)
    return not wrong


def keep(history, folder):
    """What the checker judged besides the calls."""
    whole = {name: value for name, value in vars(history).items()
             if name not in ("calls", "expected")}
    text = json.dumps(whole, default=dataclasses.asdict, ensure_ascii=False)
    (folder / "history.json").write_text(text)


def read_calls(folder):
    with open(folder / "calls.jsonl") as lines:
        return [json.loads(line) for line in lines]


def judge(folder):
    """A run that was kept, once more."""
    whole = json.loads((folder / "history.json").read_text())
    for name, kind in ("results", past.Result), ("stored", past.Stored):
        whole[name] = {id: [kind(**one) for one in several] for id, several in whole[name].items()}
    for name, kind in ("requests", past.Request), ("read", past.Result):
        whole[name] = {id: kind(**one) for id, one in whole[name].items()}
    return past.History(calls=read_calls(folder), expected=world.expected(), **whole)


def own_mounts():
    """Has this process its own view of file systems: what it mounts ends with it."""
    if os.geteuid() != 0 or os.environ.get("CHAOS_MOUNTS") or \
            subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode:
        return
    os.environ["CHAOS_MOUNTS"] = "own"
    os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])


def open_log(seed):
    """An empty folder."""
    folder = Path(os.environ.get("CHAOS_LOG") or ROOT / f"build/chaos/{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    return folder


def begin():
    """Seed and folder of this run; a signal ends it in order."""
    own_mounts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
    return seed, open_log(seed)


def main():
    if sys.argv[1:2] == ["judge"]:
        folder = Path(sys.argv[2])
        sys.exit(not report(judge(folder), folder))
    seed, folder = begin()
    minutes = float(os.environ.get("MINUTES") or 5)
    rate = float(os.environ.get("RATE") or 200)
    only = tuple(filter(None, os.environ.get("ONLY", "").split(",")))
    say(f"SEED={seed} MINUTES={minutes:g}, {rate:g} operations a second; log in {folder}")
    with Stage(folder) as stage:
        run = Run(stage, seed, minutes, rate, folder)
        run.go(plan.make(seed, minutes, only))
        history = run.history(*run.settle())
    keep(history, folder)
    is_right = report(history, folder)
    say(f"SEED={seed}: " + ("nothing was lost, wrong, changed or stuck" if is_right else "WRONG"))
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
