"""What dies, hangs or is garbage: nobody waits too long, nobody is answered wrongly."""

import concurrent.futures
import threading
import time

import confluent_kafka
import psycopg
import pytest
import requests

import rows
from harness import (CLIENTS, START_S, Topic, as_json, at_once, is_problem, lock_waiters, locked,
                     shown, wait_until)

WAIT_S = 6
LONGEST_S = 8
PATIENT_S = 28  # where no error is allowed, however busy the machine is
ANSWERS_EACH = 5


@pytest.fixture(scope="module")
def logins(world):
    """One for each client, with rows that tell them apart."""
    return [login for login in world.ids if world.comments(login)][:CLIENTS]


def ask_in_time(stack, world, login, wait=WAIT_S):
    """Whether the right rows came; an error is allowed, a wrong answer or a long wait is not."""
    began = time.monotonic()
    answer = stack.get("/api/comments/", params={"login": login},
                       headers={"Prefer": f"wait={wait}", "Cache-Control": "no-cache"})
    took = time.monotonic() - began
    assert took < wait + LONGEST_S - WAIT_S, f"{took:.1f} s: {answer.status_code} {answer.text}"
    if answer.status_code == 200:
        expected = as_json(rows.COMMENTS, world.comments(login))
        assert answer.content == expected, (login, shown(answer.content), shown(expected))
        return True
    assert answer.status_code in (503, 504), answer.text
    is_problem(answer, "source_unavailable", "deadline_exceeded", "saturated",
               "kafka_unavailable", "outcome_unknown")
    return False


class Clients:
    """Clients that ask without a pause, each for its own login."""

    def __init__(self, stack, world, logins, wait=WAIT_S):
        self.stack, self.world, self.wait = stack, world, wait
        self.right = dict.fromkeys(logins, 0)
        self.errors = dict.fromkeys(logins, 0)
        self.is_over = threading.Event()
        self.pool = concurrent.futures.ThreadPoolExecutor(len(logins))
        self.futures = [self.pool.submit(self._ask, login) for login in logins]

    def _ask(self, login):
        while not self.is_over.is_set():
            is_right = ask_in_time(self.stack, self.world, login, self.wait)
            (self.right if is_right else self.errors)[login] += 1

    def _check(self):
        for future in self.futures:
            if future.done():
                future.result()

    def wait_for_answers(self, n, timeout=60):
        """Until each client has n right answers more."""
        goals = {login: count + n for login, count in self.right.items()}

        def reached():
            self._check()
            return all(self.right[login] >= goal for login, goal in goals.items())

        wait_until(reached, timeout, f"{n} right answers for each client: {self.right}")

    def n_errors(self):
        return sum(self.errors.values())

    def wait_for_peace(self):
        """Until each client has right answers and nobody an error meanwhile."""
        def is_peace():
            before = self.n_errors()
            self.wait_for_answers(ANSWERS_EACH, START_S)
            return self.n_errors() == before

        wait_until(is_peace, START_S, "no more errors")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.pool.shutdown()
        self._check()


def test_a_killed_worker_leaves_nobody_waiting(start_stack, world, logins):
    stack = start_stack(n_workers=2)
    with Clients(stack, world, logins) as clients:
        clients.wait_for_answers(ANSWERS_EACH)
        stack.workers[0].kill()
        clients.wait_for_answers(ANSWERS_EACH, START_S)
        stack.start_worker().wait_for(r"event=ready\b")
        clients.wait_for_peace()


def test_workers_come_and_go_without_an_error(start_stack, world, logins):
    stack = start_stack(n_workers=1)
    with Clients(stack, world, logins, PATIENT_S) as clients:
        clients.wait_for_answers(ANSWERS_EACH)
        stack.start_worker().wait_for(r"event=ready\b")
        clients.wait_for_answers(ANSWERS_EACH)
        stack.workers[0].stop()
        clients.wait_for_answers(ANSWERS_EACH)
    assert clients.n_errors() == 0


def terminate_backends(services):
    """How many connections to our databases were ended."""
    ended = 0
    for url in services.db1, services.db2:
        with psycopg.connect(url, autocommit=True) as connection:
            ended += connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()").fetchone()[0]
    return ended


def test_ended_database_connections_are_503_or_right(start_stack, services, world, logins):
    stack = start_stack(n_workers=2)
    with Clients(stack, world, logins) as clients:
        for _ in range(5):
            clients.wait_for_answers(ANSWERS_EACH)
            assert terminate_backends(services) > 0
        clients.wait_for_peace()


def ask_all(pool, stack, logins, wait=30):
    return [pool.submit(requests.get, f"{stack.url}/api/comments/", params={"login": login},
                        headers={"Prefer": f"wait={wait}"}, timeout=60) for login in logins]


def are_right(world, logins, futures):
    for login, future in zip(logins, futures, strict=True):
        answer = future.result()
        assert answer.status_code == 200, answer.text
        assert answer.content == as_json(rows.COMMENTS, world.comments(login)), login


def test_a_gateway_that_is_told_to_stop_answers_who_waits(start_stack, services, world, logins):
    stack = start_stack(n_workers=1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        with Topic(services.kafka, "tally.requests.sync") as topic, locked(services.db2, "logs"):
            futures = ask_all(pool, stack, logins[:8])
            wait_until(lambda: topic.added() >= 8, 30, "eight requests are in Kafka")
            stack.gateway.terminate()
            wait_until(lambda: refuses(stack.port), 10, "no more connections are taken")
            assert not any(future.done() for future in futures)
        are_right(world, logins[:8], futures)
    assert stack.gateway.wait() == 0, stack.gateway.log()


def refuses(port):
    """Whether a newcomer is sent away: refused, or told that the gateway is not ready."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 503
    except requests.RequestException:
        return True


def test_a_worker_that_is_told_to_stop_finishes_its_batch(start_stack, services, world, logins):
    stack = start_stack(n_workers=1)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with locked(services.db2, "logs"):
            futures = ask_all(pool, stack, logins[:1])
            wait_until(lambda: lock_waiters(services.db2), 30, "the worker's query waits")
            stack.workers[0].terminate()
            assert not futures[0].done()
        are_right(world, logins[:1], futures)
    assert stack.workers[0].wait() == 0, stack.workers[0].log()


def test_what_a_stopped_worker_did_not_take_waits_for_the_next(start_stack, services, world,
                                                               logins):
    stack = start_stack(n_workers=1)
    stack.workers[0].stop()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        with Topic(services.kafka, "tally.requests.sync") as topic:
            futures = ask_all(pool, stack, logins[:8])
            wait_until(lambda: topic.added() >= 8, 30, "eight requests are in Kafka")
        stack.start_worker()
        are_right(world, logins[:8], futures)


def test_nobody_works_and_the_wait_runs_out(start_stack):
    stack = start_stack(n_workers=0)
    began = time.monotonic()
    answer = stack.ask("comments", wait=1, login="vladimir")
    assert answer.status_code == 504
    is_problem(answer, "deadline_exceeded")
    assert 0.9 < time.monotonic() - began < 3


GARBAGE = [
    # key, value, headers
    (b"k0", b"\x00\xff\xfe not json", []),
    (None, b"", []),
    (b"k2", b'{"dataset":"comments","params":{"login":"vladimir"}}', []),
    (b"k3", b'{"dataset":"comments","params":{"login":"vladimir"}}',
     [("tally-id", b"not hex"), ("tally-reply-partition", b"0"), ("tally-budget-ms", b"5000"),
      ("tally-tenant", b"default")]),
    (b"k4", b'{"dataset":"comments","dataset":"general","params":{}}',
     [("tally-id", b"0123456789abcdef0123456789abcdef"), ("tally-reply-partition", b"0"),
      ("tally-budget-ms", b"5000"), ("tally-tenant", b"default")]),
    (b"k5", b"{" * 70_000, []),
]


def test_garbage_ends_among_the_dead_letters_and_the_worker_goes_on(start_stack, services, world,
                                                                    logins):
    stack = start_stack(n_workers=2)
    producer = confluent_kafka.Producer({"bootstrap.servers": services.kafka})
    with Topic(services.kafka, "tally.dead-letters") as dead_letters:
        sent = {}

        def delivered(error, message):
            assert error is None
            sent[message.partition(), message.offset()] = (message.key(), message.value() or b"")

        n_partitions = len(producer.list_topics("tally.requests.sync", timeout=30)
                           .topics["tally.requests.sync"].partitions)
        for partition in range(n_partitions):
            for key, value, headers in GARBAGE:
                producer.produce("tally.requests.sync", value, key, partition, headers=headers,
                                 on_delivery=delivered)
        assert producer.flush(30) == 0
        found = set()
        for message in dead_letters.messages(60, lambda: f"{len(found)} of {len(sent)}"):
            headers = dict(message.headers() or [])
            assert headers["tally-origin-topic"] == b"tally.requests.sync"
            assert headers["tally-reason"]
            origin = (int(headers["tally-origin-partition"]), int(headers["tally-origin-offset"]))
            # The original bytes; a rebalance may bring a message twice.
            assert sent[origin] == (message.key(), message.value() or b"")
            found.add(origin)
            if len(found) == len(sent):
                break
    assert all(at_once(lambda login: ask_in_time(stack, world, login, PATIENT_S), logins))


def test_one_bad_request_does_not_fail_its_neighbours(start_stack, services, world, logins):
    """A reply to nobody, and one to a partition that does not exist, among good requests."""
    stack = start_stack(n_workers=1)
    producer = confluent_kafka.Producer({"bootstrap.servers": services.kafka})
    with Clients(stack, world, logins, PATIENT_S) as clients:
        for i in range(50):
            for partition in b"0", b"65535":
                producer.produce("tally.requests.sync",
                                 b'{"dataset":"comments","params":{"login":"yanina"}}', b"key",
                                 headers=[("tally-id", b"%032x" % i),
                                          ("tally-reply-partition", partition),
                                          ("tally-budget-ms", b"5000"),
                                          ("tally-tenant", b"default")])
        assert producer.flush(30) == 0
        clients.wait_for_answers(ANSWERS_EACH)
    assert clients.n_errors() == 0


def test_a_worker_with_a_wrong_definition_ends_with_78(services, tmp_path):
    from harness import Service
    (tmp_path / "wrong.sql").write_text("-- dataset wrong\n-- column a int\n-- step s on db1\n"
                                        "SELECT no_such_column AS a FROM users;\n")
    worker = Service("tally-worker", services.worker_settings | {"TALLY_DATASETS": tmp_path})
    assert worker.wait() == 78, worker.log()
    worker.wait_for(r"wrong\.sql:[34]")


def test_a_database_that_is_away_is_503_and_the_worker_stays(start_stack, services):
    stack = start_stack(n_workers=1)
    nowhere = services.db2.replace("tally_e2e_db2", "tally_e2e_nowhere")
    stack.workers[0].stop()
    stack.worker_settings = {"TALLY_SOURCE_DB2": nowhere}
    worker = stack.start_worker()
    answer = stack.ask("comments", wait=20, login="vladimir")
    assert answer.status_code == 503, answer.text
    is_problem(answer, "source_unavailable")
    assert worker.process.poll() is None
    assert stack.is_ready()
