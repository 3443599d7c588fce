"""Messages that end every worker that touches them: they are found, the others are answered.

TALLY_POISON_TIMES=20 takes each kind so many times on each lane."""

import collections
import concurrent.futures
import os
import re
import signal
import socket
import struct
import threading
import time
import uuid

import pytest

from harness import (BIN, START_S, Service, Stack, Topic, as_json, is_problem, wait_until)
from jobs import Api

TIMES = int(os.environ.get("TALLY_POISON_TIMES", "1"))
POISON = BIN.parent / "test/e2e/poison.so"
KINDS = ["parse", "query", "hang", "answer"]
GROUPS = {"tally.requests.sync": ("tally-workers-sync", 4),
          "tally.requests.jobs": ("tally-workers-jobs", 12)}
N_NEIGHBOURS = 24  # on each lane; some are in the same partition
HANGS_MS = 3000
MAX_DEATHS = 3
END_S = 240  # of one poison: deaths are noticed after a session's time, on a busy machine later
COLUMNS = ["login", "size"]

ECHO = """-- dataset echo: what was asked, and how long it is
-- param login text required max=256
-- column login text
-- column size int
-- step length on db1 by login
SELECT q.login, length(q.login)::bigint AS size FROM unnest(:login) AS q(login);
"""


def echo(login):
    return as_json(COLUMNS, [(login, len(login))])


class Nursery:
    """Workers, each of which is started again when it ends by itself."""

    def __init__(self, settings, n):
        self.settings = settings
        self.deaths = []
        self.lock = threading.Lock()
        self.workers = [self._start() for _ in range(n)]
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _start(self):
        return Service("tally-worker", self.settings)

    def _watch(self):
        while not self.is_over.wait(0.02):
            with self.lock:
                for i, worker in enumerate(self.workers):
                    if worker.process.poll() is not None:
                        self.deaths.append((worker.process.returncode, worker))
                        self.workers[i] = self._start()

    def wait_until_ready(self):
        """All live, and have partitions of both lanes."""
        def is_ready():
            with self.lock:
                workers = list(self.workers)
            return all(sum("partitions of" in line and "assigned" in line
                           for line in worker.lines) >= len(GROUPS)
                       and any("event=ready" in line for line in worker.lines)
                       for worker in workers)

        wait_until(is_ready, START_S, "all workers are ready")

    def log(self):
        return "\n".join(worker.log() for worker in
                         [*(worker for _, worker in self.deaths[-4:]), *self.workers])

    def stop(self):
        self.is_over.set()
        self.thread.join()
        for worker in self.workers:
            worker.stop()

    def kill(self):
        self.is_over.set()
        self.thread.join()
        for worker in self.workers:
            worker.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("poison")
    (folder / "echo.sql").write_text(ECHO)
    return folder


@pytest.fixture(scope="module")
def stack(services, folder):
    with Stack(services, n_workers=0, gateway={"TALLY_DATASETS": folder}) as stack:
        yield stack


@pytest.fixture
def nursery(services, folder):
    nursery = Nursery(services.worker_settings | {
        "TALLY_DATASETS": folder, "LD_PRELOAD": POISON, "TALLY_WATCHDOG_MS": HANGS_MS,
        "TALLY_LOG_LEVEL": "debug"}, 2)
    try:
        nursery.wait_until_ready()
        yield nursery
        nursery.stop()
    finally:
        nursery.kill()


def ask_until_right(stack, login, deadline):
    """A caller who asks again when he is told to; how many times he did."""
    for n in range(1, 100):
        answer = stack.ask("echo", wait=30, login=login)
        if answer.status_code == 200:
            assert answer.content == echo(login), (login, answer.text)
            return n
        is_problem(answer, "deadline_exceeded", "saturated", "outcome_unknown")
        assert time.monotonic() < deadline, f"{login} was never answered"
    raise AssertionError(f"{login}: too many answers")


def run_job(api, login):
    return api.final(api.submit("echo", {"login": login})["id"], END_S)


def check_job(api, login):
    document = run_job(api, login)
    assert document["state"] == "succeeded", document
    assert api.result(document["id"]).content == echo(login)


def poison_job(api, login):
    document = run_job(api, login)
    assert document["state"] == "failed", document
    assert document["error"]["code"] == "poisoned", document
    assert document["error"]["retryable"] is False
    is_problem_of_result(api.result(document["id"]))


def is_problem_of_result(answer):
    assert answer.status == 500, answer
    assert answer.json()["code"] == "poisoned", answer


def poison_caller(stack, login):
    """Told so, when his wait is long enough."""
    answer = stack.ask("echo", wait=30, login=login)
    if answer.status_code != 504:
        assert answer.status_code == 500, answer.text
        is_problem(answer, "poisoned")


class Letters:
    """What has come to the dead letters since."""

    def __init__(self, kafka):
        self.topic = Topic(kafka, "tally.dead-letters")
        self.found = collections.Counter()

    def read(self):
        while (message := self.topic.consumer.poll(0.2)) is not None:
            if message.error():
                continue
            headers = {name: text.decode() for name, text in message.headers() or []}
            assert "stopped while they worked" in headers["tally-reason"], (headers,
                                                                           message.value())
            self.found[re.search(rb'"login":"([^"]*)"', message.value())[1].decode()] += 1
        return self.found

    def wait_for(self, logins, timeout=END_S):
        wait_until(lambda: set(logins) <= set(self.read()), timeout,
                   f"dead letters of {logins}: {self.found}")

    def close(self):
        self.topic.close()


@pytest.fixture
def letters(services):
    letters = Letters(services.kafka)
    yield letters
    letters.close()


def mixed(poison, neighbours):
    """The poison in the midst of the others."""
    half = len(neighbours) // 2
    return [*neighbours[:half], poison, *neighbours[half:]]


def poison_once(stack, nursery, letters, kind, lane):
    api = Api(stack.url)
    name = uuid.uuid4().hex[:8]
    poison = f"poison-{kind}-{lane}-{name}"
    logins = [f"good-{name}-{i}" for i in range(N_NEIGHBOURS)]
    deadline = time.monotonic() + END_S
    n_before = len(nursery.deaths)
    calls = mixed(
        (poison_job, api, poison) if lane == "jobs" else (poison_caller, stack, poison),
        [call for login in logins for call in ((check_job, api, f"{login}-job"),
                                               (ask_until_right, stack, login, deadline))])
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(*call) for call in calls]
        try:
            for future in futures:
                future.result()
            letters.wait_for([poison])
        except BaseException:
            print(nursery.log())
            raise
    n_deaths = len(nursery.deaths) - n_before
    print(f"{poison}: {n_deaths} deaths,"
          f" {[code for code, _ in nursery.deaths[n_before:]]}")
    assert 2 <= n_deaths <= MAX_DEATHS, nursery.log()
    nursery.wait_until_ready()
    return poison


@pytest.mark.parametrize("lane", ["jobs", "sync"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_poison_ends_among_the_dead_letters_and_its_neighbours_are_answered(
        stack, nursery, letters, kind, lane):
    poisons = [poison_once(stack, nursery, letters, kind, lane) for _ in range(TIMES)]
    assert letters.read() == collections.Counter(poisons)
    if kind == "hang":
        assert all("event=hangs" in worker.log(1000) and code == -signal.SIGABRT
                   for code, worker in nursery.deaths), nursery.log()


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def committed(servers, group, topic, n_partitions):
    """The metadata of all partitions, asked for in Kafka's own words (OffsetFetch, version 1):
    confluent_kafka reads past their end."""
    request = (struct.pack(">hhi", 9, 1, 1) + text("test") + text(group) + struct.pack(">i", 1)
               + text(topic) + struct.pack(">i", n_partitions)
               + b"".join(struct.pack(">i", i) for i in range(n_partitions)))
    host, port = servers.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection, \
            connection.makefile("rb") as answer:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer.read(4 + 4 + 4 + 2 + len(topic))  # size, correlation, one topic, its name
        for _ in range(struct.unpack(">i", answer.read(4))[0]):
            _, _, length = struct.unpack(">iqh", answer.read(14))
            yield answer.read(max(length, 0)).decode()
            assert answer.read(2) == b"\0\0"


def starts(services):
    """The starts that are committed in all partitions of the workers' groups."""
    return [int((metadata or "0").split()[0]) for topic, (group, n) in GROUPS.items()
            for metadata in committed(services.kafka, group, topic, n)]


def check_alive(stack, letters):
    api = Api(stack.url)
    name = uuid.uuid4().hex[:8]
    check_job(api, name)
    ask_until_right(stack, name, time.monotonic() + END_S)
    assert not letters.read()


def test_idle_workers_that_are_restarted_condemn_nothing(stack, nursery, letters, services):
    for i in range(20):
        with nursery.lock:
            nursery.workers[i % 2].stop()
            nursery.workers[i % 2] = nursery._start()
        nursery.wait_until_ready()
    assert not nursery.deaths
    assert max(starts(services)) <= 1
    check_alive(stack, letters)


def test_idle_workers_that_are_killed_condemn_nothing(stack, nursery, letters, services):
    for i in range(5):
        nursery.workers[i % 2].process.kill()
        wait_until(lambda n=i: len(nursery.deaths) == n + 1, START_S, "it is started again")
        nursery.wait_until_ready()
        assert max(starts(services)) <= 1
    check_alive(stack, letters)


def test_workers_that_leave_in_order_leave_no_count(stack, nursery, letters, services):
    check_alive(stack, letters)
    nursery.stop()
    assert set(starts(services)) == {0}
