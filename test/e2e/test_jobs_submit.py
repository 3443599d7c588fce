"""Jobs are submitted: what is refused, who gets 202 when, keys, waits, and rows with respond-async."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import uuid

import confluent_kafka.admin
import psycopg
import pytest

import rows
from conftest import succeed
from harness import (ROOT, Service, Stack, Topic, as_csv, as_json, at_once, is_problem,
                     lock_waiters, locked, session, wait_until)
from jobs import Api
from test_jobs_read import created_of, job_id

N_KEYS, N_EACH = 200, 64
CONFIRM_S = 5
EARLY = {"id", "state", "final", "created_at", "expires_at", "poll_after_ms", "links"}


class Gateway(Service):
    """A gateway that is ready."""

    def __init__(self, services, **settings):
        super().__init__("tally-gateway", services.gateway_settings | settings)
        self.url = "http://127.0.0.1:" + self.wait_for(r"event=listening\b.*\bport=(\d+)")[1]
        self.wait_for(r"event=ready\b")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def post(url, body, timeout=60, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers.setdefault("Content-Type", "application/json")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return session().post(url + "/v1/jobs", data=content, headers=headers, timeout=timeout)


def of(login, **more):
    return {"dataset": "comments", "params": {"login": login}} | more


def accepted(answer):
    """The document of a 202."""
    assert answer.status_code == 202, (answer.status_code, answer.text)
    document = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{document['id']}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Content-Type"] == "application/json"
    return document


def some_key():
    return uuid.uuid4().hex


@pytest.fixture(scope="module")
def login(world):
    return next(login for login in world.ids if world.comments(login))


@pytest.fixture(scope="module")
def expected(world, login):
    return world.comments(login)


@pytest.fixture(scope="module")
def alone(services):
    """A gateway without workers."""
    with Stack(services, n_workers=0) as stack:
        yield stack


def metric(url, name):
    text = session().get(url + "/metrics", timeout=20).text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


# ---- what is refused -----------------------------------------------------------------------------

REFUSED = {
    "nothing": (b"", 400, "bad_request", None),
    "no JSON": (b"{", 400, "bad_request", None),
    "no UTF-8": (b'{"dataset":"comments","params":{"login":"\xff"}}', 400, "bad_request", None),
    "a list": (b"[]", 400, "bad_request", None),
    "a name twice": (b'{"dataset":"comments","dataset":"comments"}', 400, "bad_request", None),
    "too deep": (b"[" * 100, 400, "bad_request", None),
    "no dataset": ({"params": {"login": "a"}}, 400, "bad_request", None),
    "a dataset that is a number": ({"dataset": 1}, 400, "bad_request", None),
    "params that are a list": ({"dataset": "comments", "params": []}, 400, "bad_request", None),
    "a parameter that is a list": (of(["a"]), 400, "bad_request", None),
    "an unknown member": (of("a", priority=1), 400, "bad_request", None),
    "labels that are numbers": (of("a", labels={"a": 1}), 400, "bad_request", None),
    "17 labels": (of("a", labels={str(i): "" for i in range(17)}), 400, "bad_request", None),
    "a timeout that is a text": (of("a", timeout_ms="5000"), 400, "bad_request", None),
    "a timeout that is a fraction": (of("a", timeout_ms=5000.5), 400, "bad_request", None),
    "an unknown dataset": ({"dataset": "none"}, 404, "unknown_dataset", None),
    "a parameter missing": ({"dataset": "comments"}, 422, "invalid_parameter", "login"),
    "a parameter unknown": ({"dataset": "comments", "params": {"login": "a", "x": 1}}, 422,
                            "invalid_parameter", "x"),
    "a parameter of another type": (of(5), 422, "invalid_parameter", "login"),
    "a format unknown": (of("a", format="xml"), 422, "invalid_parameter", "format"),
    "a timeout too short": (of("a", timeout_ms=999), 422, "invalid_parameter", "timeout_ms"),
    "a timeout below zero": (of("a", timeout_ms=-5000), 422, "invalid_parameter", "timeout_ms"),
    "a timeout of zero": (of("a", timeout_ms=0), 422, "invalid_parameter", "timeout_ms"),
    "a timeout too long": (of("a", timeout_ms=12 * 3600 * 1000 + 1), 422, "invalid_parameter",
                           "timeout_ms"),
    "too large": (of("a" * 66000), 413, "body_too_large", None),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_body_is_refused_and_not_published(alone, services, what):
    body, status, code, name = REFUSED[what]
    with Topic(services.kafka, "tally.requests.jobs") as requests:
        answer = post(alone.url, body)
        assert answer.status_code == status, answer.text
        document = is_problem(answer, code)
        if name:
            assert [(error["in"], error["name"]) for error in document["errors"]] \
                == [("body", name)], document
        assert requests.added() == 0


def test_all_that_is_wrong_is_told_at_once(alone):
    answer = post(alone.url, {"dataset": "comments", "params": {"x": 1}, "format": "xml",
                              "timeout_ms": 1})
    errors = is_problem(answer, "invalid_parameter")["errors"]
    assert {error["name"] for error in errors} == {"login", "x", "format", "timeout_ms"}


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded",
                                        "application/jsonp", "application/json5"])
def test_a_body_of_another_media_type_is_415(alone, media_type):
    is_problem(post(alone.url, of("a"), Content_Type=media_type), "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8",
                                        "application/json;charset=utf-8"])
def test_parameters_of_the_media_type_do_not_matter(alone, media_type):
    accepted(post(alone.url, of("a"), Content_Type=media_type))


@pytest.mark.parametrize("key", ["", "a" * 65, "a b", "a\tb", "ключ".encode(), "é".encode("latin1")])
def test_a_wrong_key_is_400(alone, key):
    is_problem(post(alone.url, of("a"), Idempotency_Key=key), "bad_request")


# ---- 202 -----------------------------------------------------------------------------------------

def test_202_comes_after_the_request_is_in_kafka(alone, services):
    body = of("ann", format="csv", timeout_ms=60000, labels={"b": "2", "a": "ж"})
    with Topic(services.kafka, "tally.requests.jobs") as requests:
        before = int(time.time() * 1000)
        document = accepted(post(alone.url, body, traceparent="00-" + "a" * 32 + "-"
                                 + "b" * 16 + "-01"))
        assert requests.added() == 1, "it is there when the caller knows of it"
        message = next(requests.messages(20, lambda: "the request"))
    assert document.keys() == EARLY and document["state"] == "queued"
    assert json.loads(message.value()) == {"dataset": "comments", "params": {"login": "ann"},
                                           "format": "csv", "labels": {"a": "ж", "b": "2"}}
    headers = {name: value.decode() for name, value in message.headers()}
    assert headers["ce_subject"] == headers["ce_id"] == document["id"]
    assert headers["ce_source"] == "tally" and headers["ce_type"] == "tally.request.v1"
    assert headers["tally-budget-ms"] == "60000" and headers["tally-tenant"] == "default"
    assert before + 60000 <= int(headers["tally-deadline-ms"]) <= before + 120000
    assert headers["traceparent"][3:35] == "a" * 32
    assert "tally-idempotency-key" not in headers


def test_the_key_of_a_message_is_the_fingerprint(alone, services):
    with Topic(services.kafka, "tally.requests.jobs") as requests:
        for body in of("ann"), of("ann", format="csv", labels={"a": "b"}), of("bob"):
            accepted(post(alone.url, body))
        found = requests.messages(20, lambda: "three requests")
        keys = collections.Counter(next(found).key() for _ in range(3))
    assert sorted(keys.values()) == [1, 2]


def test_a_gateway_without_jobs_has_rows_and_says_what_is_missing(services):
    with Gateway(services, TALLY_JOBS="", TALLY_JOB_SECRET="") as gateway:
        detail = is_problem(post(gateway.url, of("a")), "not_found")["detail"]
        assert "TALLY_JOBS" in detail and "TALLY_JOB_SECRET" in detail
        answer = session().get(gateway.url + "/api/comments/?login=",
                               headers={"Prefer": "respond-async, wait=1"}, timeout=40)
        assert answer.status_code in (200, 422, 504), "the preference is ignored"


@pytest.mark.parametrize("settings, named", [
    ({"TALLY_JOBS": ""}, ["TALLY_JOBS"]),
    ({"TALLY_JOB_SECRET": ""}, ["TALLY_JOB_SECRET"]),
    ({"TALLY_JOB_SECRET": "short"}, ["TALLY_JOB_SECRET"]),
    ({"TALLY_JOB_SECRET": "a" * 32 + "," + "b" * 31}, ["TALLY_JOB_SECRET"]),
    ({"TALLY_JOBS": "mysql://a/b"}, []),
    ({"TALLY_RESULTS_PARTITION": "12"}, ["TALLY_RESULTS_PARTITION"]),
    ({"TALLY_RESULTS_PARTITIONS": "11"}, ["TALLY_RESULTS_PARTITIONS", "tally.results"]),
])
def test_wrong_settings_end_the_gateway(services, settings, named):
    gateway = Service("tally-gateway", services.gateway_settings | settings)
    assert gateway.wait() == 78, gateway.log()
    for name in named:
        assert name in gateway.log()
    assert "a" * 32 not in gateway.log()


# ---- workers -------------------------------------------------------------------------------------

@pytest.fixture(scope="class")
def pair(services):
    """Two workers, two gateways: their URLs."""
    with Stack(services, n_workers=2) as stack, Gateway(services) as other:
        yield stack, [stack.url, other.url]


class TestWithWorkers:
    def test_a_wait_ends_with_the_final_document(self, pair, login, expected):
        stack, urls = pair
        body = as_json(rows.COMMENTS, expected)
        answer = post(urls[0], of(login, labels={"a": "b"}), Prefer="wait=20")
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert answer.headers["Preference-Applied"] == "wait=20"
        assert answer.headers["Location"] == f"/v1/jobs/{document['id']}"
        assert document["state"] == "succeeded" and document["final"] is True
        assert document["dataset"] == "comments" and document["params"] == {"login": login}
        assert document["labels"] == {"a": "b"} and document["format"] is None
        assert document["result"]["rows"] == len(expected)
        assert document["result"]["bytes"] == len(body)
        assert document["as_of"].keys() == {"db1", "db2"}
        # What is recorded says the same, at the other gateway; its halves come in either order.
        wait_until(lambda: session().get(f"{urls[1]}/v1/jobs/{document['id']}", timeout=40).json()
                   == document, 20, "the same is recorded")

    def test_a_wait_that_runs_out_ends_with_202(self, pair, services, login):
        _, urls = pair
        with locked(services.db2, "logs"):
            began = time.monotonic()
            answer = post(urls[0], of(login), Prefer="wait=1")
            assert 0.9 < time.monotonic() - began < 5
            document = accepted(answer)
            assert answer.headers["Preference-Applied"] == "wait=1"
        job = session().get(f"{urls[0]}/v1/jobs/{document['id']}", headers={"Prefer": "wait=20"},
                            timeout=40).json()
        assert job["state"] == "succeeded"

    def test_who_leaves_loses_nothing(self, pair, services, login):
        _, urls = pair
        with locked(services.db2, "logs"):
            with Topic(services.kafka, "tally.requests.jobs") as requests:
                host, port = urllib.parse.urlsplit(urls[0]).netloc.split(":")
                content = json.dumps(of(login)).encode()
                with socket.create_connection((host, int(port))) as client:
                    client.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nPrefer: wait=30\r\n"
                                   b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                                   % len(content) + content)
                    message = next(requests.messages(20, lambda: "the request"))
                    wait_until(lambda: metric(urls[0], "tally_job_waits") == 1, 20, "it waits")
                wait_until(lambda: metric(urls[0], "tally_job_waits") == 0, 5, "it is freed")
        id = dict(message.headers())["ce_subject"].decode()
        job = session().get(f"{urls[0]}/v1/jobs/{id}", headers={"Prefer": "wait=20"}, timeout=40)
        assert job.json()["state"] == "succeeded"

    @pytest.mark.parametrize("format, write", [("json", as_json), ("csv", as_csv),
                                               ("ndjson", None)])
    def test_respond_async_gives_rows_in_time(self, pair, login, expected, format, write):
        stack, urls = pair
        answer = session().get(urls[0] + "/api/comments/",
                               params={"login": login, "format": format},
                               headers={"Prefer": "respond-async, wait=20"}, timeout=40)
        assert answer.status_code == 200, answer.text
        if write:
            assert answer.content == write(rows.COMMENTS, expected)
        else:
            assert [json.loads(line) for line in answer.content.splitlines()] \
                == [dict(zip(rows.COMMENTS, row, strict=True)) for row in expected]
        assert answer.headers["Preference-Applied"] == "respond-async, wait=20"
        # The address of the job gives the same bytes.
        job = session().get(urls[1] + answer.headers["Location"], headers={"Prefer": "wait=20"},
                            timeout=40)
        assert job.json()["state"] == "succeeded"
        again = session().get(urls[1] + answer.headers["Location"] + "/result", timeout=40)
        assert again.status_code == 200 and again.content == answer.content

    @pytest.mark.parametrize("prefer", ["respond-async", "respond-async, wait=1"])
    def test_respond_async_gives_a_job_otherwise(self, pair, services, login, prefer):
        _, urls = pair
        with locked(services.db2, "logs"):
            answer = session().get(urls[0] + "/api/comments/", params={"login": login},
                                   headers={"Prefer": prefer}, timeout=40)
            accepted(answer)
            assert answer.headers["Preference-Applied"] == prefer
        is_problem(session().get(urls[0] + "/api/comments/", params={"format": "x"},
                                 headers={"Prefer": prefer}, timeout=40), "invalid_parameter")

    def test_a_key_means_one_job_at_any_gateway(self, pair, login):
        _, urls = pair
        key = some_key()
        ids = {accepted(post(urls[i % 2], of(login), Idempotency_Key=key))["id"]
               for i in range(6)}
        assert len(ids) == 1
        answer = post(urls[1], of(login), Idempotency_Key=key, Prefer="wait=20")
        assert answer.status_code == 200, answer.text
        assert {answer.json()["id"]} == ids and answer.json()["state"] == "succeeded"
        answer = post(urls[0], of(login), Idempotency_Key=key)
        assert accepted(answer)["state"] == "succeeded", "known, but nobody wanted to wait"

    def test_a_key_counts_for_rows_too(self, pair, login, expected):
        _, urls = pair
        key = some_key()
        headers = {"Prefer": "respond-async, wait=20", "Idempotency-Key": key}
        answers = [session().get(url + "/api/comments/", params={"login": login},
                                 headers=headers, timeout=40) for url in urls]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert len({answer.headers["Location"] for answer in answers}) == 1
        assert {answer.content for answer in answers} == {as_json(rows.COMMENTS, expected)}
        same = accepted(post(urls[0], of(login), Idempotency_Key=key))
        assert answers[0].headers["Location"].endswith(same["id"])

    def test_64_of_each_of_200_keys_at_two_gateways_are_200_jobs(self, pair, services, world):
        _, urls = pair
        logins = list(world.ids)[:N_KEYS]
        keys = [some_key() for _ in range(N_KEYS)]
        with Topic(services.kafka, "tally.results") as results:
            def one(number):
                i = number // N_EACH
                began = time.monotonic()
                answer = post(urls[number % 2], of(logins[i]), Idempotency_Key=keys[i])
                return i, accepted(answer)["id"], time.monotonic() - began

            found = collections.defaultdict(set)
            slowest = 0
            for i, id, took in at_once(one, range(N_KEYS * N_EACH), 64):
                found[i].add(id)
                slowest = max(slowest, took)
            assert len(found) == N_KEYS
            assert {len(ids) for ids in found.values()} == {1}
            ids = {id for ids in found.values() for id in ids}
            assert len(ids) == N_KEYS
            for id in ids:
                job = session().get(f"{urls[0]}/v1/jobs/{id}", headers={"Prefer": "wait=25"},
                                    timeout=40).json()
                assert job["state"] == "succeeded", job
            if slowest < CONFIRM_S:
                assert results.added() == N_KEYS, "one result each"
            # What Kafka has not acknowledged within that, others publish again, one at a time.
            assert N_KEYS <= results.added() <= 3 * N_KEYS


# ---- cancelled -----------------------------------------------------------------------------------

def test_who_waits_for_a_job_is_told_when_it_is_cancelled(alone, services):
    with Gateway(services) as other, Topic(services.kafka, "tally.requests.jobs") as requests, \
            Topic(services.kafka, "tally.results") as results, \
            Topic(services.kafka, "tally.control") as control, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        document = pool.submit(post, alone.url, of("a"), Prefer="wait=25")
        rows = pool.submit(session().get, alone.url + "/api/comments/?login=b", timeout=40,
                           headers={"Prefer": "respond-async, wait=25"})
        published = requests.messages(20, lambda: "two requests")
        ids = {dict(next(published).headers())["ce_subject"].decode() for _ in range(2)}
        for id in ids:
            answer = session().delete(f"{other.url}/v1/jobs/{id}", timeout=20)
            assert answer.status_code == 202, answer.text
        assert document.result().status_code == 200, document.result().text
        assert document.result().json()["state"] == "cancelled"
        assert document.result().json()["error"]["code"] == "cancelled"
        assert is_problem(rows.result(), "cancelled")["status"] == 409
        for topic, kind in (results, b"tally.result.v1"), (control, b"tally.cancel.v1"):
            found = topic.messages(20, lambda: "two cancellations")
            messages = [next(found) for _ in range(2)]
            assert {message.key().decode() for message in messages} == ids
            assert {dict(message.headers())["ce_type"] for message in messages} == {kind}


# ---- keys ----------------------------------------------------------------------------------------

SAME = [of("a"), of("a", labels={"x": "1", "y": "2"}), of("a", timeout_ms=5000)]
TOLD_OTHERWISE = [b'{"params":{"login":"\\u0061"},\n "dataset":"comments"}',
                  of("a", labels={"y": "2", "x": "1"}), of("a", timeout_ms=5000) | {"labels": {}}]
OTHERS = [of("b"), of("a", labels={"x": "1"}), of("a", timeout_ms=5001), of("a", format="csv"),
          {"dataset": "general", "params": {"login": "a"}}]


@pytest.mark.parametrize("i", range(len(SAME)))
def test_the_same_request_told_otherwise_is_the_same(alone, i):
    key = some_key()
    first = accepted(post(alone.url, SAME[i], Idempotency_Key=key))
    again = accepted(post(alone.url, TOLD_OTHERWISE[i], Idempotency_Key=key))
    assert again["id"] == first["id"]


@pytest.mark.parametrize("i", range(len(OTHERS)))
def test_a_key_with_another_request_is_422(alone, services, i):
    key = some_key()
    accepted(post(alone.url, of("a"), Idempotency_Key=key))
    with Topic(services.kafka, "tally.requests.jobs") as requests:
        is_problem(post(alone.url, OTHERS[i], Idempotency_Key=key), "idempotency_key_reused")
        assert requests.added() == 0


def test_a_known_job_is_waited_for(alone, services, login):
    key = some_key()
    first = accepted(post(alone.url, of(login), Idempotency_Key=key))
    began = time.monotonic()
    again = accepted(post(alone.url, of(login), Idempotency_Key=key, Prefer="wait=1"))
    assert again["id"] == first["id"] and 0.9 < time.monotonic() - began < 5


# ---- what is away --------------------------------------------------------------------------------

def test_without_a_job_store_only_keys_are_refused(services):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"postgresql://tally@127.0.0.1:{closed.getsockname()[1]}/jobs"
        with Stack(services, gateway={"TALLY_JOBS": url}) as stack:
            accepted(post(stack.url, of("a")))
            answer = post(stack.url, of("vladimir"), Prefer="wait=20")
            assert answer.status_code == 200, answer.text
            assert answer.json()["state"] == "succeeded"
            is_problem(post(stack.url, of("a"), Idempotency_Key=some_key()),
                       "job_store_unavailable")
            assert stack.ask("comments", login="vladimir").status_code == 200
            answer = stack.get("/api/comments/?login=vladimir",
                               headers={"Prefer": "respond-async, wait=20"})
            assert answer.status_code == 200, answer.text
            is_problem(stack.get("/api/comments/?login=vladimir",
                                 headers={"Prefer": "respond-async", "Idempotency-Key": "a"}),
                       "job_store_unavailable")
            assert stack.get("/readyz").status_code == 200
            assert metric(stack.url, "tally_job_store_up") == 0


@dataclasses.dataclass
class Kafka:
    """A broker of its own, which may be frozen."""
    folder: pathlib.Path
    servers: str

    def signal(self, number):
        os.kill(int((self.folder / "pid").read_text()), number)

    @contextlib.contextmanager
    def frozen(self):
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def kafka():
    def script(verb, folder):
        return subprocess.run([ROOT / "deploy/dev/kafka", verb, folder], check=True, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=120)

    with tempfile.TemporaryDirectory(prefix="tally-kafka-") as name:
        folder = pathlib.Path(name) / "kafka"
        servers = script("start", folder).stdout.strip().removeprefix("TALLY_KAFKA=")
        try:
            yield Kafka(folder, servers)
        finally:
            script("stop", folder)


@pytest.fixture(scope="module")
def apart(services, kafka):
    """The services with that broker."""
    apart = dataclasses.replace(services, kafka=kafka.servers)
    succeed("topics", "create", settings=apart.cli_settings)
    return apart


def test_an_outcome_that_is_unknown_is_told_and_can_be_found_out(apart, kafka):
    with Gateway(apart) as gateway:
        accepted(post(gateway.url, of("a")))  # connected
        key = some_key()
        with kafka.frozen():
            plain, keyed = at_once(lambda headers: post(gateway.url, of("a"), **headers),
                                   [{}, {"Idempotency_Key": key}])
        # One request of a producer is on its way at a time: what waits behind it is not sent, and
        # that is known.
        unknown = []
        for answer, names in (plain, "Location"), (keyed, "Idempotency-Key"):
            problem = is_problem(answer, "outcome_unknown", "kafka_unavailable")
            assert problem["retryable"] is True
            if problem["code"] == "outcome_unknown":
                unknown.append(answer)
                assert answer.headers["Location"].startswith("/v1/jobs/")
                assert names in problem["detail"]
        assert unknown, "one was on its way"
        same = wait_until(lambda: (lambda a: a.status_code == 202 and a)(
            post(gateway.url, of("a"), Idempotency_Key=key)), 60, "the retry gets through")
        if keyed in unknown:
            assert same.headers["Location"] == keyed.headers["Location"]


def test_who_repeats_a_key_that_is_not_confirmed_waits_and_publishes_nothing(apart, kafka):
    key = some_key()
    with Gateway(apart) as gateway, Gateway(apart) as other, \
            Topic(apart.kafka, "tally.requests.jobs") as requests, \
            psycopg.connect(apart.jobs, autocommit=True) as store:
        for url in gateway.url, other.url:
            accepted(post(url, of("a")))  # connected
        before = requests.added()
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            with kafka.frozen():
                asked = [pool.submit(post, url, of("a"), Idempotency_Key=key)
                         for url in [gateway.url, other.url] * 3]
                wait_until(lambda: store.execute("SELECT FROM keys WHERE key = %s", [key]).rowcount,
                           20, "the key is claimed")
                time.sleep(1)  # the others look at it again and again: ten times a second
            ids = {accepted(answer.result(60))["id"] for answer in asked}
        assert len(ids) == 1
        assert requests.added() - before == 1


def published_late(gateway, store):
    """A key and the id, two minutes old, of a job that its first gateway did not publish."""
    key, id = some_key(), job_id(age_ms=120_000)
    first = accepted(post(gateway.url, of("a"), Idempotency_Key=key))["id"]
    wait_until(lambda: store.execute("SELECT FROM keys JOIN jobs USING (id)"
                                     " WHERE id = %s AND confirmed", [first]).rowcount,
               60, "it is confirmed and recorded")
    store.execute("UPDATE keys SET id = %s, created_ms = %s, confirmed = false"
                  " WHERE key = %s", [id, created_of(id), key])
    return key, id


def test_a_job_that_is_published_late_is_found_by_whoever_is_told_of_it(apart):
    with Gateway(apart) as gateway, psycopg.connect(apart.jobs, autocommit=True) as store, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        api = Api(gateway.url)
        key, id = published_late(gateway, store)
        with locked(apart.jobs, "jobs", "SHARE"):
            again = pool.submit(post, gateway.url, of("a"), Idempotency_Key=key)
            wait_until(lambda: lock_waiters(apart.jobs), 20, "it is about to be recorded")
            assert concurrent.futures.wait([again], timeout=1).not_done, again.result().text
        assert accepted(again.result(60))["id"] == id
        assert api.job(id)["id"] == id
        key, id = published_late(gateway, store)
        with locked(apart.jobs, "jobs", "SHARE"):
            problem = is_problem(post(gateway.url, of("a"), Idempotency_Key=key),
                                 "job_store_unavailable")
            assert "Idempotency-Key" in problem["detail"] and problem["retryable"] is True
        assert accepted(post(gateway.url, of("a"), Idempotency_Key=key))["id"] == id
        assert api.job(id)["id"] == id


def test_a_gateway_without_one_of_its_topics_is_not_ready(apart):
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": apart.kafka})
    with Gateway(apart) as gateway:
        api = Api(gateway.url)
        assert api.is_ready()
        admin.delete_topics(["tally.control"])["tally.control"].result(30)
        wait_until(lambda: not api.is_ready(), 60, "it is not ready")
        assert b"tally topics create" in api.get("/readyz").content
        gateway.wait_for(r"tally\.control")
        succeed("topics", "create", settings=apart.cli_settings)
        wait_until(api.is_ready, 60, "it is ready again")


def test_partitions_that_are_added_are_published_to(apart):
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": apart.kafka})

    def n_partitions(name):
        return len(admin.list_topics(name, timeout=30).topics[name].partitions)

    def ask_for_rows(login):
        session().get(f"{gateway.url}/api/comments/?login={login}", headers={"Prefer": "wait=1"})

    with Gateway(apart) as gateway:
        for name, ask in {"tally.requests.jobs": lambda: accepted(post(gateway.url, of("a"))),
                          "tally.requests.sync": lambda: at_once(ask_for_rows, range(32))}.items():
            n_old = n_partitions(name)
            more = confluent_kafka.admin.NewPartitions(name, n_old + 2)
            admin.create_partitions([more])[name].result(30)
            wait_until(lambda: n_partitions(name) == n_old + 2, 30, "the broker knows of them")
            with Topic(apart.kafka, name) as topic:
                wait_until(lambda: ask() and all(topic.ends()[n_old:]), 60,
                           f"each new partition of {name} has a request")


class Dying(Gateway):
    """A gateway that is killed with a submission under way, and what there is of that."""

    def __init__(self, services, kafka):
        super().__init__(services)
        self.kafka = kafka
        self.jobs = services.jobs
        self.key = some_key()
        self.body = of("a", labels={"a": "b"})
        self.id = None

    @contextlib.contextmanager
    def asked(self):
        """Its caller, who hears nothing."""
        content = json.dumps(self.body).encode()
        with socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(self.url).port)) as client:
            client.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nIdempotency-Key: %s\r\n"
                           b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                           % (self.key.encode(), len(content)) + content)
            yield

    def wait_for_claim(self):
        """Until the key is in the store; nobody has confirmed it."""
        with psycopg.connect(self.jobs, autocommit=True) as store:
            def claimed():
                return store.execute("SELECT id, confirmed FROM keys WHERE key = %s",
                                     [self.key]).fetchone()

            self.id, is_confirmed = wait_until(claimed, 20, "the key is claimed")
            assert not is_confirmed

    def end_writers(self, n):
        """Ends what waits to write to keys, when there are n: the server would do it all the same."""
        with psycopg.connect(self.jobs, autocommit=True) as store:
            def ended():
                return store.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname ="
                    " current_database() AND wait_event_type = 'Lock' AND query ~ 'keys'"
                    ).fetchone()[0]
            wait_until(lambda: ended() >= n, 20, "who waits is ended")


def before_it_publishes(gateway, _requests):
    """The server stores the key of a gateway that hears no more of it."""
    with psycopg.connect(gateway.jobs) as store:
        # A row of the same key, which is not committed: the gateway's waits for what becomes of it.
        store.execute("INSERT INTO keys (tenant, key, body_hash, id, created_ms, deadline_ms,"
                      " fingerprint, trace, no_cache, request)"
                      " VALUES ('default', %s, '', '', 0, 0, '', '', false, '')", [gateway.key])
        with gateway.asked():
            wait_until(lambda: lock_waiters(gateway.jobs), 60, "the key is about to be stored")
            gateway.process.send_signal(signal.SIGSTOP)
            store.rollback()
    gateway.wait_for_claim()
    gateway.kill()
    return 0


def while_it_publishes(gateway, _requests):
    """The broker has perhaps read the request, and has not answered."""
    with gateway.kafka.frozen(), gateway.asked():
        gateway.wait_for_claim()
        gateway.kill()
    return None


def before_it_confirms(gateway, requests):
    """The broker has the request, and nobody can write that down."""
    with psycopg.connect(gateway.jobs) as lock, contextlib.ExitStack() as caller:
        with gateway.kafka.frozen():
            caller.enter_context(gateway.asked())
            gateway.wait_for_claim()
            lock.execute("SELECT FROM keys WHERE key = %s FOR UPDATE", [gateway.key])
        wait_until(lambda: requests.added() == 1, 20, "the request is in Kafka")
        wait_until(lambda: lock_waiters(gateway.jobs), 20, "the confirmation waits")
        gateway.kill()
        gateway.end_writers(1)
        gateway.wait_for_claim()
    return 1


@pytest.mark.parametrize("die", [before_it_publishes, while_it_publishes, before_it_confirms])
def test_a_gateway_that_dies_between_the_key_and_kafka_loses_no_job(apart, kafka, die):
    with Gateway(apart) as other, Topic(apart.kafka, "tally.requests.jobs") as requests:
        dying = Dying(apart, kafka)
        n = die(dying, requests)
        if n is not None:
            assert requests.added() == n
        again = wait_until(lambda: (lambda a: a.status_code == 202 and a)(
            post(other.url, dying.body, Idempotency_Key=dying.key)), 60, "a retry")
        assert accepted(again)["id"] == dying.id
        found = requests.messages(20, lambda: "the request")
        messages = [next(found) for _ in range(requests.added())]
        assert {dict(message.headers())["ce_subject"].decode() for message in messages} \
            == {dying.id}
        assert len({(message.key(), message.value()) for message in messages}) == 1
        with Stack(apart, n_workers=1):
            job = Api(other.url).final(dying.id, 90)
        assert job["state"] == "succeeded" and job["labels"] == {"a": "b"}
