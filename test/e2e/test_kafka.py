"""The sync lane as a worker sees it: requests published here, replies read here, no gateway."""

import collections
import json
import re
import secrets
import signal
import time

import confluent_kafka
import pytest

import rows
from harness import START_S, Service, Topic, as_json, wait_until

PARTITION = 1
PUBLISHED = set()  # the ids of all requests of this module


@pytest.fixture(scope="module")
def worker(services):
    """One worker alone."""
    worker = Service("tally-worker", services.worker_settings)
    try:
        worker.wait_for(r"event=ready\b")
        yield worker
        worker.stop()
    finally:
        worker.kill()


@pytest.fixture
def lane(services, worker):
    lane = Lane(services.kafka)
    yield lane
    lane.replies.close()


class Lane:
    def __init__(self, servers):
        self.servers = servers
        self.producer = confluent_kafka.Producer({"bootstrap.servers": servers, "linger.ms": 1})
        self.replies = Topic(servers, "tally.replies")
        self.failures = collections.Counter()

    def publish(self, value, budget_ms=20_000, key=None, **more):
        """Publishes one request; its id."""
        id = secrets.token_hex(16)
        PUBLISHED.add(id)
        headers = {"tally-id": id, "tally-reply-partition": str(PARTITION),
                   "tally-budget-ms": str(budget_ms), "tally-tenant": "default"} | more
        value = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.producer.produce("tally.requests.sync", value, key or id, headers=list(
            (name.replace("_", "-"), text.encode()) for name, text in headers.items()),
            on_delivery=self._delivered)
        return id

    def _delivered(self, error, _message):
        if error:
            self.failures[str(error)] += 1

    def flush(self):
        assert self.producer.flush(30) == 0 and not self.failures, self.failures

    def read(self, ids, timeout=START_S):
        """One reply for each id: headers and body."""
        self.flush()
        replies = {}
        for message in self.replies.messages(timeout, lambda: f"{len(replies)} of {len(ids)}"):
            assert message.partition() == PARTITION
            id = message.key().decode()
            assert id in PUBLISHED, "a reply to nobody"
            headers = {name: value.decode() for name, value in message.headers()}
            if id in ids:  # the first one counts; work may be done twice
                replies.setdefault(id, (headers, message.value()))
            if len(replies) == len(ids):
                return replies

    def ask(self, value, **more):
        id = self.publish(value, **more)
        return self.read([id])[id]


def comments_of(login):
    return {"dataset": "comments", "params": {"login": login}}


def test_a_reply_is_the_rest_body_and_says_when_each_database_was_read(lane):
    before = int(time.time() * 1000)
    headers, body = lane.ask(comments_of("vladimir"))
    assert body == as_json(rows.COMMENTS, [("vladimir", "ЖК Эдельвейс", "vladimir", 1)])
    assert headers["tally-state"] == "succeeded"
    assert "tally-error-code" not in headers
    assert re.fullmatch("[0-9a-f]{16}", headers["tally-run"])
    for source in "db1", "db2":
        assert before - 1000 <= int(headers[f"tally-as-of-{source}"]) <= time.time() * 1000 + 1000


def test_every_user_at_once(lane, world):
    """All are there together, so batches are as large as they may be."""
    wanted = {lane.publish(comments_of(login)): login for login in world.ids}
    for id, (headers, body) in lane.read(wanted).items():
        assert headers["tally-state"] == "succeeded", body
        assert body == as_json(rows.COMMENTS, world.comments(wanted[id])), wanted[id]


def test_equal_requests_of_a_batch_each_have_a_reply(lane):
    ids = {lane.publish(comments_of("yanina")) for _ in range(100)}
    bodies = {body for _, body in lane.read(ids).values()}
    assert len(bodies) == 1


def test_the_largest_batch_of_a_foreign_producer_is_taken(lane):
    """librdkafka fills a batch up to its batch.size, and does not split one that a topic refuses."""
    lane.producer = confluent_kafka.Producer({"bootstrap.servers": lane.servers, "linger.ms": 5000})
    value = json.dumps(comments_of("yanina")).encode().ljust(50_000)  # white space may follow
    ids = {lane.publish(value, key="one partition") for _ in range(40)}
    assert len({body for _, body in lane.read(ids).values()}) == 1


@pytest.mark.parametrize("value, codes", [
    ({"dataset": "nothing", "params": {}}, ["unknown_dataset", "dataset_mismatch"]),
    ({"dataset": "comments", "params": {}}, ["dataset_mismatch", "invalid_parameter"]),
    ({"dataset": "comments", "params": {"login": 1}}, ["dataset_mismatch", "invalid_parameter"]),
    ({"dataset": "comments", "params": {"login": "a", "colour": "red"}},
     ["dataset_mismatch", "invalid_parameter"]),
    ({"dataset": "comments", "params": {"login": "x" * 257}},
     ["dataset_mismatch", "invalid_parameter"]),
])
def test_what_does_not_fit_the_workers_definition_fails_and_says_so(lane, value, codes):
    headers, body = lane.ask(value)
    assert headers["tally-state"] == "failed"
    assert headers["tally-error-code"] in codes
    document = json.loads(body)
    assert document["code"] == headers["tally-error-code"]
    assert {"title", "detail", "retryable"} <= document.keys()


def test_an_expired_request_is_not_run_and_the_next_one_is(lane, worker):
    """Its caller has left by now: at most a failure that nobody reads, never rows."""
    lane.ask(comments_of("natalya"))  # the worker knows by now how the clocks differ
    worker.process.send_signal(signal.SIGSTOP)
    try:
        key = "the same partition"
        expired = lane.publish(comments_of("vladimir"), budget_ms=100, key=key)
        lane.flush()
        late = time.monotonic() + 1
        wait_until(lambda: time.monotonic() > late, 5, "a second passes")
    finally:
        worker.process.send_signal(signal.SIGCONT)
    good = lane.publish(comments_of("yanina"), key=key)
    lane.flush()
    seen = {}
    for message in lane.replies.messages(START_S, lambda: "the reply of the good request"):
        seen[message.key().decode()] = dict(message.headers())["tally-state"]
        if good in seen:
            break
    assert seen[good] == b"succeeded"
    assert seen.get(expired) != b"succeeded"


def test_the_trace_is_carried_on(lane):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers, _ = lane.ask(comments_of("vladimir"), traceparent=trace)
    assert headers.get("traceparent", trace).split("-")[1] == trace.split("-")[1]
