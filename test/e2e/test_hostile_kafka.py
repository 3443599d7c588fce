"""Messages that nobody of ours wrote, on the topics that answers come from: they are counted, and
whoever waits goes on to wait, for the right one.  The test is the worker here."""

import concurrent.futures
import json
import re
import secrets
import sys
import time

import confluent_kafka
import pytest

from harness import ROOT, Stack, Topic, wait_until
from jobs import Api, sha256
from keys import metric

sys.path.insert(0, str(ROOT / "test/contract"))
from test_contract import ALPHABET  # noqa: E402

BODY = b'{"status":"ok","data":[{"user_login":"ann","post_header":"p","post_author_login":null,' \
       b'"total_comments":1}]}'
FORGED = BODY.replace(b"ann", b"eve")
RUN = "00ff00ff00ff00ff"


@pytest.fixture(scope="module")
def alone(services):
    """A gateway without workers."""
    with Stack(services, n_workers=0) as stack:
        yield stack


class Publisher:
    def __init__(self, servers):
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": servers, "linger.ms": 1, "message.max.bytes": 1_000_000})
        self.errors = []
        self.producer.list_topics(timeout=30)  # it is connected before anybody waits

    def send(self, topic, partition, key, headers, value):
        pairs = list(headers.items()) if isinstance(headers, dict) else headers
        self.producer.produce(topic, value, key, partition, headers=pairs,
                              on_delivery=lambda error, _: self.errors.append(error))

    def flush(self):
        assert self.producer.flush(30) == 0 and not any(self.errors), self.errors


def counted(stack, name, topic):
    """A metric of a topic."""
    text = Api(stack.url).get("/metrics").content.decode()
    found = re.search(rf'^{name}\{{topic="{topic}"\}} (\S+)$', text, re.M)
    return float(found[1]) if found else 0.0


def has_read_all(stack, topic, lag="tally_kafka_lag"):
    wait_until(lambda: counted(stack, lag, topic) == 0, 30, f"{topic} is read")


def without(headers, name):
    return {key: value for key, value in headers.items() if key != name}


def changed(headers, **changes):
    return headers | {name.replace("_", "-"): value for name, value in changes.items()}


def buried(headers):
    """Behind more headers than anybody reads."""
    return [(f"x-{i}", b"y" * 100) for i in range(1000)] + list(headers.items())


# ---- replies -------------------------------------------------------------------------------------

REPLY = {"tally-state": "succeeded", "tally-run": RUN}
# Key (None: the right one), headers, value; whether it is one of ours, but to nobody here.
REPLIES = {
    "an id that nobody has": (secrets.token_hex(16), REPLY, FORGED, True),
    "an id in capitals": ("ID", REPLY, FORGED, False),
    "a short id": ("0" * 31, REPLY, FORGED, False),
    "a long id": ("0" * 3200, REPLY, FORGED, False),
    "no key": ("", REPLY, FORGED, False),
    "no state": (None, without(REPLY, "tally-state"), FORGED, False),
    "another state": (None, changed(REPLY, tally_state="done"), FORGED, False),
    "a state of bytes": (None, changed(REPLY, tally_state=b"\xff\0\n"), FORGED, False),
    "no run": (None, without(REPLY, "tally-run"), FORGED, False),
    "a run that is none": (None, changed(REPLY, tally_run="x" * 16), FORGED, False),
    "the state twice": (None, [*REPLY.items(), ("tally-state", "succeeded")], FORGED, False),
    "a failure without a code": (None, changed(REPLY, tally_state="failed"), b"{}", False),
    "a code that is none": (None, changed(REPLY, tally_state="failed", tally_error_code="x"), b"{}",
                            False),
    "a success with a code": (None, changed(REPLY, tally_error_code="poisoned"), FORGED, False),
    "a source of line ends": (None, changed(REPLY, tally_as_of_db1="1\r\nSet-Cookie: a=b"), FORGED,
                              False),
    "timing of line ends": (None, changed(REPLY, tally_timing="a\r\nSet-Cookie: a=b"), FORGED,
                            False),
    "a huge header": (None, changed(REPLY, tally_timing=b"x" * 900_000), FORGED, False),
    "a thousand headers": (None, buried(REPLY), FORGED, False),
    "a tombstone": (None, REPLY, None, False),
    "an empty body": (None, REPLY, b"", False),
    "a body that is no answer": (None, REPLY, b"<html>", False),
    "a body that is cut off": (None, REPLY, FORGED[:-2], False),
}


def test_forged_replies_leave_the_waiter_to_the_right_one(alone, services):
    publisher = Publisher(services.kafka)
    with Topic(services.kafka, "tally.requests.sync") as requests, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(Api(alone.url).get, "/api/comments/?login=ann", Prefer="wait=30")
        request = next(requests.messages(30, lambda: "the request"))
        headers = {name: value.decode() for name, value in request.headers()}
        id, partition = headers["tally-id"], int(headers["tally-reply-partition"])
        refused = counted(alone, "tally_messages_refused_total", "tally.replies")
        late = metric(alone, "tally_late_replies_total")
        for key, forged, value, _ in REPLIES.values():
            key = id if key is None else id.upper().replace("0", "A") if key == "ID" else key
            publisher.send("tally.replies", partition, key, forged, value)
        publisher.send("tally.replies", (partition + 1) % 4, id, REPLY, FORGED)
        publisher.flush()
        n_late = sum(is_ours for *_, is_ours in REPLIES.values())
        wait_until(lambda: counted(alone, "tally_messages_refused_total", "tally.replies")
                   == refused + len(REPLIES) - n_late, 30, "all are counted")
        assert metric(alone, "tally_late_replies_total") == late + n_late
        assert metric(alone, "tally_waiters") == 1 and not asked.done()
        publisher.send("tally.replies", partition, id, REPLY, BODY)
        publisher.flush()
        answer = asked.result(30)
    assert answer.status == 200 and answer.content == BODY
    assert "Set-Cookie" not in answer.headers


def test_a_failure_is_told_whatever_its_document_is(alone, services):
    """A reply that failed counts, also when its value is nothing that can be read."""
    publisher = Publisher(services.kafka)
    documents = [b"", b"{", b"[" * 100_000, b'{"code":1}', b'{"code":"nothing"}', b"\xff" * 5000,
                 json.dumps({"code": "source_error", "detail": "\u0436" * 600,
                             "source": "\u0436" * 40}).encode(),
                 b'{"code":"source_error","detail":"a\\r\\nb\\u0007","source":"\\n"}']
    headers = changed(REPLY, tally_state="failed", tally_error_code="source_error")
    for i, document in enumerate(documents):
        with Topic(services.kafka, "tally.requests.sync") as requests, \
                concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(Api(alone.url).get, f"/api/comments/?login=ann{i}",
                                Prefer="wait=30")
            request = dict(next(requests.messages(30, lambda: "the request")).headers())
            publisher.send("tally.replies", int(request["tally-reply-partition"]),
                           request["tally-id"], headers, document)
            publisher.flush()
            answer = asked.result(30)
        assert answer.status == 500, (document[:50], answer)
        assert answer.json()["code"] == "source_error", (document[:50], answer)


# ---- results -------------------------------------------------------------------------------------

def result(id, body, run=RUN, **changes):
    now_ms = str(int(time.time() * 1000))
    headers = {"ce_specversion": "1.0", "ce_id": f"{id}/{run}", "ce_source": "tally",
               "ce_type": "tally.result.v1", "ce_time": "2025-06-29T12:26:41.5Z", "ce_subject": id,
               "content-type": "application/json", "tally-tenant": "default", "tally-run": run,
               "tally-attempt": "1", "tally-deadline-ms": now_ms, "tally-created-ms": now_ms,
               "tally-state": "succeeded", "tally-dataset": "comments", "tally-rows": "1",
               "tally-sha256": sha256(body)}
    for name, value in changes.items():
        name = name if name.startswith("ce_") else name.replace("_", "-")
        headers = without(headers, name) if value is None else headers | {name: value}
    return headers


def part(id, number, body, run, **changes):
    return result(id, body, run, ce_id=f"{id}/{run}/{number}", tally_part=str(number),
                  **({"tally_rows": None, "tally_sha256": None} | changes))


def other_id(id):
    """One that says the same of itself, but was not made with the secret."""
    at = 30
    return id[:at] + ALPHABET[(ALPHABET.index(id[at]) + 1) % 32] + id[at + 1:]


def forgeries(id, created_ms):
    """What is refused as it stands: (key, headers, value)."""
    def of(body=FORGED, key=id, **changes):
        return key, result(key, body, **({"tally_created_ms": created_ms} | changes)), body

    other = other_id(id)
    return {
        "another tenant": of(tally_tenant="other"),
        "no tenant": of(tally_tenant=None),
        "a tenant that is none": of(tally_tenant="a b"),
        "an id that is not genuine": of(key=other),
        "a key that is no id": of(key="u" * 39),
        "a key of bytes": (b"\xff\0\n" * 13, result(id, FORGED), FORGED),
        "another source": of(ce_source="/shop"),
        "the id of another": of(ce_id=f"{other}/{RUN}"),
        "the subject of another": of(ce_subject=other),
        "another type": of(ce_type="tally.request.v1"),
        "another time of creation": of(tally_created_ms="1751200000123"),
        "another state": of(tally_state="expired"),
        "a failure without a code": of(tally_state="failed", tally_sha256=None, tally_rows=None),
        "a success with a code": of(tally_error_code="poisoned"),
        "a success without a digest": of(tally_sha256=None, tally_rows=None),
        "a digest that is none": of(tally_sha256="x" * 64),
        "rows that are none": of(tally_rows="-1"),
        "a part past the last": of(tally_part="3", tally_parts="2", ce_id=f"{id}/{RUN}/3"),
        "part zero": of(tally_part="0", ce_id=f"{id}/{RUN}/0"),
        "a part past all": of(tally_part="65537", ce_id=f"{id}/{RUN}/65537", tally_sha256=None,
                              tally_rows=None),
        "a huge header": of(tally_timing=b"x" * 900_000),
        "a thousand headers": (id, buried(result(id, FORGED)), FORGED),
        "the tenant twice": (id, [*result(id, FORGED, tally_created_ms=created_ms).items(),
                                  ("tally-tenant", "default")], FORGED),
        "a tombstone without headers": (id, {}, None),
    }


def test_forged_results_leave_the_waiter_to_the_right_one(alone, services):
    publisher, api = Publisher(services.kafka), Api(alone.url)
    with Topic(services.kafka, "tally.requests.jobs") as requests, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(api.post, "comments", {"login": "ann"}, Prefer="wait=30")
        headers = {name: value.decode()
                   for name, value in next(requests.messages(30, lambda: "it")).headers()}
        id, partition = headers["ce_subject"], int(headers["tally-reply-partition"])
        wait_until(lambda: api.get(f"/v1/jobs/{id}").json().get("dataset"), 30, "it is recorded")
        created_ms = str(int.from_bytes(id_bytes(id)[:6], "big"))
        forged = forgeries(id, created_ms)
        refused = metric(alone, "tally_recorder_refused_total")
        for key, head, value in forged.values():
            publisher.send("tally.results", partition, key, head, value)
        # All is right of this one but where it stands.
        publisher.send("tally.results", (partition + 1) % 12, id,
                       result(id, FORGED, tally_created_ms=created_ms), FORGED)
        # Parts, of which the first is missing.
        last = {"tally_parts": "3", "tally_rows": "1", "tally_sha256": sha256(FORGED * 3)}
        for number, more in (2, {}), (3, last):
            publisher.send("tally.results", partition, id, part(
                id, number, FORGED, "1" * 16, tally_created_ms=created_ms, **more), FORGED)
        publisher.flush()
        wait_until(lambda: metric(alone, "tally_recorder_refused_total")
                   == refused + len(forged) + 1, 60, "the recorder has counted all")
        has_read_all(alone, "tally.results")
        document = api.get(f"/v1/jobs/{id}").json()
        assert document["state"] == "queued" and not document["final"], document
        assert metric(alone, "tally_job_waits") == 1 and not asked.done(), asked.result()
        publisher.send("tally.results", partition, id,
                       result(id, BODY, run="3" * 16, tally_created_ms=created_ms), BODY)
        publisher.flush()
        answer = asked.result(30)
    assert answer.status == 200 and answer.json()["state"] == "succeeded", answer
    assert answer.json()["result"]["sha256"] == sha256(BODY)
    wait_until(lambda: api.get(f"/v1/jobs/{id}").json()["final"], 30, "it is recorded")
    assert api.result(id).content == BODY
    assert counted(alone, "tally_messages_refused_total", "tally.results") >= 1


def id_bytes(id):
    number = int("".join(f"{ALPHABET.index(c):05b}" for c in id), 2)
    return (number >> 3).to_bytes(24, "big")


# ---- requests and control ------------------------------------------------------------------------

def refusals(*stacks):
    """Of all recorders: they share the partitions."""
    return sum(metric(stack, "tally_recorder_refused_total") for stack in stacks)


def test_requests_in_the_name_of_a_gateway_make_no_job_of_anybody(alone, start_stack, services):
    """An id that no gateway has made: a worker cannot tell; nobody is shown what comes of it."""
    stack = start_stack(n_workers=1)
    api, publisher = Api(stack.url), Publisher(services.kafka)
    real = api.submit("comments", {"login": "vladimir"})["id"]
    assert api.final(real)["state"] == "succeeded"
    id, now_ms = other_id(real), int(time.time() * 1000)
    created_ms = int.from_bytes(id_bytes(id)[:6], "big")
    partition = int.from_bytes(id_bytes(id)[6:8], "big")
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created_ms // 1000))
    headers = {"ce_specversion": "1.0", "ce_id": id, "ce_source": "tally",
               "ce_type": "tally.request.v1", "ce_time": f"{at}.{created_ms % 1000:03d}Z",
               "ce_subject": id, "tally-reply-partition": str(partition),
               "tally-deadline-ms": str(now_ms + 60_000), "tally-budget-ms": "60000",
               "tally-tenant": "default"}
    refused = refusals(alone, stack)
    with Topic(services.kafka, "tally.results") as results:
        publisher.send("tally.requests.jobs", 3, "key", headers,
                       b'{"dataset":"comments","params":{"login":"vladimir"}}')
        publisher.flush()
        found = next(results.messages(60, lambda: "a result"))
        assert found.key().decode() == id
    wait_until(lambda: refusals(alone, stack) == refused + 2, 30, "request and result are refused")
    assert api.get(f"/v1/jobs/{id}").status == 404
    assert id not in api.get("/v1/jobs?limit=100").content.decode()
    assert api.final(real)["state"] == "succeeded"


def test_forged_control_messages_cancel_nobody(start_stack, services):
    stack = start_stack(n_workers=1)
    api, publisher = Api(stack.url), Publisher(services.kafka)
    ids = [api.submit("comments", {"login": "vladimir"})["id"]]
    id = ids[0]
    base = {"ce_specversion": "1.0", "ce_id": f"{id}/cancel", "ce_source": "tally",
            "ce_type": "tally.cancel.v1", "ce_time": "2025-06-29T12:26:41.5Z", "ce_subject": id,
            "tally-tenant": "default", "tally-created-ms": "1751200000123",
            "tally-deadline-ms": "1751200000124"}
    for key, headers in [(id, {}), (id, base), ("x", base), (id, buried(base)),
                         (id, base | {"ce_type": "tally.started.v1"}),
                         (other_id(id), base | {"ce_subject": other_id(id)})]:
        publisher.send("tally.control", 0, key, headers, b"{}")
    publisher.flush()
    assert api.final(id)["state"] == "succeeded"
    stack.workers[0].wait_for("control message cannot be read", 30)
    second = api.submit("comments", {"login": "vladimir"})["id"]
    assert api.final(second)["state"] == "succeeded"
