"""Requests that another service puts into Kafka itself: good ones are served, wrong ones are told."""

import json
import sys
import time
import uuid

import confluent_kafka
import pytest

from harness import ROOT, Topic, is_problem, wait_until
from jobs import Api, expected, sha256

sys.path.insert(0, str(ROOT / "test/contract"))
from test_contract import foreign_job_id  # noqa: E402
from test_contract_jobs import foreign_partition  # noqa: E402

REQUESTS = "tally.requests.jobs"
PARTITION = 5  # of all requests here: the order in which they are read is theirs
N_RESULTS = 12


def header(name):
    return name if name.startswith("ce_") else name.replace("_", "-")


class Shop:
    """A foreign producer; requests of one id each."""

    def __init__(self, servers):
        self.producer = confluent_kafka.Producer({"bootstrap.servers": servers,
                                                 "enable.idempotence": True})
        self.source = f"/shop/{uuid.uuid4().hex}"
        self.offsets = {}

    def id(self, event):
        return foreign_job_id("default", self.source, event)

    def send(self, event, value, **changes):
        """Publishes a request; a change of None leaves a header out, a list gives it more than
        once."""
        headers = {"ce_specversion": "1.0", "ce_type": "tally.request.v1", "ce_id": event,
                   "ce_source": self.source}
        headers |= {header(name): value for name, value in changes.items()}
        pairs = [(name, text) for name, given in headers.items() if given is not None
                 for text in (given if isinstance(given, list) else [given])]

        def delivered(error, message):
            assert error is None, error
            self.offsets[message.offset()] = event

        self.producer.produce(REQUESTS, value, event, PARTITION, headers=pairs,
                              on_delivery=delivered)

    def flush(self):
        assert self.producer.flush(30) == 0


def of(login, **more):
    return json.dumps({"dataset": "comments", "params": {"login": login}} | more).encode()


def now_ms():
    return int(time.time() * 1000)


GOOD = of("vladimir")
# What is told to whoever can be told, and whether it is kept as a dead letter.
WRONG = {
    "no JSON": (b"{", {}, "bad_request", True),
    "nothing": (b"", {}, "bad_request", True),
    "no UTF-8": (GOOD.replace(b"vladimir", b"\xff"), {}, "bad_request", True),
    "a name twice": (b'{"dataset":"comments","dataset":"comments"}', {}, "bad_request", True),
    "a list": (b"[]", {}, "bad_request", True),
    "no dataset": (b'{"params":{"login":"vladimir"}}', {}, "bad_request", True),
    "too large": (of("vladimir", labels={"a": "x" * 70_000}), {}, "bad_request", True),
    "an unknown dataset": (b'{"dataset":"none","params":{}}', {}, "dataset_mismatch", False),
    "a parameter missing": (b'{"dataset":"comments","params":{}}', {}, "dataset_mismatch", False),
    "a parameter unknown": (b'{"dataset":"comments","params":{"login":"a","x":1}}', {},
                            "dataset_mismatch", False),
    "a parameter of another type": (b'{"dataset":"comments","params":{"login":5}}', {},
                                    "dataset_mismatch", False),
    "no ce_id": (GOOD, {"ce_id": None}, None, True),
    "no ce_source": (GOOD, {"ce_source": None}, None, True),
    "no ce_type": (GOOD, {"ce_type": None}, None, True),
    "no ce_specversion": (GOOD, {"ce_specversion": None}, None, True),
    "another ce_type": (GOOD, {"ce_type": "tally.result.v1"}, None, True),
    "another ce_specversion": (GOOD, {"ce_specversion": "0.3"}, None, True),
    "a ce_id twice": (GOOD, {"ce_id": ["a", "b"]}, None, True),
    "a long ce_id": (GOOD, {"ce_id": "a" * 65}, None, True),
    "the name of the gateway": (GOOD, {"ce_source": "tally"}, None, True),
    "a partition that is not there": (GOOD, {"tally_reply_partition": "12"}, None, True),
    "a partition that is none": (GOOD, {"tally_reply_partition": "-1"}, None, True),
    "a deadline too late": (GOOD, {"tally_deadline_ms": str(now_ms() + 13 * 3600 * 1000)}, None,
                            True),
    "another media type": (GOOD, {"content_type": "text/plain"}, None, True),
}

NAMED = {"the name of the gateway": "ce_subject"}  # the reason names what was changed, or this


def neighbour(what):
    return f"beside {what}"


@pytest.fixture(scope="module")
def logins(world):
    return [login for login in world.ids if world.comments(login)][:len(WRONG)]


@pytest.fixture(scope="module")
def served(stack, services, logins):
    """All wrong requests, each before a good one; what came of them in the topics."""
    shop = Shop(services.kafka)
    with Topic(services.kafka, "tally.results") as results, \
            Topic(services.kafka, "tally.dead-letters") as letters:
        n_results, n_letters = len(WRONG), 0
        for i, (what, (value, headers, code, is_letter)) in enumerate(WRONG.items()):
            shop.send(what, value, **headers)
            shop.send(neighbour(what), of(logins[i], labels={"n": str(i)}),
                      **({"tally_reply_partition": str(i % N_RESULTS)} if i % 2 else {}))
            n_results += code is not None
            n_letters += is_letter
        shop.flush()
        last = shop.id(neighbour(list(WRONG)[-1]))
        api = Api(stack.url)
        wait_until(lambda: api.get(f"/v1/jobs/{last}").status == 200, 60, "all are recorded")
        found = {}
        while len(found) < n_results:
            message = next(results.messages(60, lambda: f"{n_results} results, not {found}"))
            found.setdefault(message.key().decode(), message)
        kept = {}
        while len(kept) < n_letters:
            letter = next(letters.messages(60, lambda: f"{n_letters} letters, not {kept}"))
            kept[shop.offsets[int(dict(letter.headers())["tally-origin-offset"])]] = letter
        assert letters.added() == n_letters and results.added() == n_results
    return api, shop, found, kept


@pytest.mark.parametrize("i", range(len(WRONG)))
def test_a_foreign_request_is_served_beside_a_wrong_one(served, logins, world, i):
    api, shop, found, _ = served
    event = neighbour(list(WRONG)[i])
    id = shop.id(event)
    body = expected(world, "comments", logins[i])
    document = api.foreign(id)
    assert document["state"] == "succeeded", document
    assert document["params"] == {"login": logins[i]} and document["labels"] == {"n": str(i)}
    assert api.result(id).content == body
    message = found[id]
    headers = {name: value.decode() for name, value in message.headers()}
    assert message.value() == body
    assert headers["ce_subject"] == id and headers["tally-sha256"] == sha256(body)
    assert message.partition() == (i % N_RESULTS if i % 2
                                   else foreign_partition(shop.source, event, N_RESULTS))
    assert document["result"] | {"partition": message.partition(), "offset": message.offset()} \
        == document["result"]


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_foreign_request_is_kept_and_told(served, what):
    api, shop, found, kept = served
    value, changes, code, is_letter = WRONG[what]
    id = shop.id(what)
    assert (what in kept) == is_letter
    if is_letter:
        letter = kept[what]
        headers = dict(letter.headers())
        assert (letter.key().decode(), letter.value() or b"") == (what, value)
        assert (headers["tally-origin-topic"], headers["tally-origin-partition"]) \
            == (REQUESTS.encode(), str(PARTITION).encode())
        for name in changes:
            assert NAMED.get(what, header(name)) in headers["tally-reason"].decode()
    if not code:
        assert id not in found
        assert api.get(f"/v1/jobs/{id}").status == 404
        return
    assert dict(found[id].headers())["tally-state"] == b"failed"
    told = json.loads(found[id].value())
    assert told["code"] == code and told["detail"]
    document = api.foreign(id)
    assert document["state"] == "failed", document
    assert document["error"]["code"] == code and document["error"]["detail"] == told["detail"]
    assert api.result(id).json()["code"] == code


def test_the_same_event_twice_is_one_job(stack, services):
    api, shop = Api(stack.url), Shop(services.kafka)
    with Topic(services.kafka, "tally.results") as results:
        for login in "yanina", "natalya":
            shop.send("one", of(login))
        shop.flush()
        messages = results.messages(60, lambda: "two results")
        first, _ = sorted((next(messages), next(messages)), key=lambda message: message.offset())
        id = shop.id("one")
        assert first.key().decode() == id
        assert api.foreign(id)["result"]["offset"] == first.offset()
        assert api.result(id).content == first.value()
