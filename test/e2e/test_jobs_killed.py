"""Jobs while everything they need is killed in turn: accepted is accepted, and final is final."""

import concurrent.futures
import contextlib
import itertools
import json
import pathlib
import tempfile
import threading
import time
import uuid

import pytest

from cluster import Cluster
from harness import at_once, read_topic, shown, wait_until
from jobs import N_CLIENTS, expected, some_jobs

N_JOBS = 5_000
SUBMIT_S = 240  # until a submission gets through, and all of them
FINAL_S = 180
KILLS = [("worker", 0), ("gateway", 0), ("postgres",), ("worker", 1), ("kafka",), ("gateway", 1)]


@pytest.fixture
def cluster(world):
    with tempfile.TemporaryDirectory(prefix="tally-cluster-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # user postgres passes through
        cluster = Cluster(folder, world)
        try:
            yield cluster
        finally:
            cluster.stop()


class Storm:
    """Clients that submit and try again until they are told 202 or 200, every other one with a key
    for it."""

    def __init__(self, cluster, jobs):
        self.cluster = cluster
        self.pool = concurrent.futures.ThreadPoolExecutor(N_CLIENTS)
        self.n_accepted = 0
        self.lock = threading.Lock()
        self.seen_final = {}
        self.futures = [self.pool.submit(self._submit, i, *job) for i, job in enumerate(jobs)]

    def _submit(self, i, dataset, login):
        key = {"Idempotency_Key": uuid.uuid4().hex} if i % 2 == 0 else {}
        deadline = time.monotonic() + SUBMIT_S
        for attempt in itertools.count():
            api = self.cluster.apis[(i // 2 + attempt) % 2]
            with contextlib.suppress(ConnectionError):
                answer = api.post(dataset, {"login": login}, timeout=40, **key)
                if answer.status in (200, 202):
                    return self._accepted(answer.json()["id"])
                assert answer.status in (429, 503), answer
                assert answer.json()["retryable"] is True
            assert time.monotonic() < deadline, "a submission that never got through"
            time.sleep(0.1)

    def _accepted(self, id):
        with self.lock:
            self.n_accepted += 1
            must_look = self.n_accepted % 50 == 0
        if must_look:
            self._look(id)
        return id

    def _look(self, id):
        """Keeps the document of a job that is final already: it may not change."""
        with contextlib.suppress(ConnectionError):
            answer = self.cluster.apis[0].get(f"/v1/jobs/{id}", Prefer="wait=2")
            if answer.status == 200 and answer.json()["final"]:
                self.seen_final[id] = answer.json()

    def wait_for(self, n):
        def reached():
            for future in self.futures:
                if future.done():
                    future.result()
            return self.n_accepted >= n

        wait_until(reached, SUBMIT_S, f"{n} jobs accepted")

    def ids(self):
        return [future.result() for future in self.futures]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)


def all_requests(kafka):
    """Of each id in the topic, what was asked."""
    requests = {}
    for message in read_topic(kafka, "tally.requests.jobs"):
        id = dict(message.headers())["ce_subject"].decode()
        value = json.loads(message.value())
        requests[id] = value["dataset"], value["params"]["login"]
    return requests


def first_results(kafka):
    """Of each id in the topic, where its first result stands, and its headers."""
    results = {}
    for message in read_topic(kafka, "tally.results"):
        headers = {name: value.decode() for name, value in message.headers()}
        results.setdefault(message.key().decode(),
                           ((message.partition(), message.offset()), headers))
    return results


def settled(api, id):
    """The document when the job is final; its gateway or the store may be away."""
    with contextlib.suppress(ConnectionError):
        answer = api.get(f"/v1/jobs/{id}", Prefer="wait=20")
        if answer.status == 200 and answer.json()["final"]:
            return answer.json()
        assert answer.status in (200, 503), answer
    return None


def check_all(cluster, world, requests):
    """The documents of all jobs, which end with the rows that were asked for."""
    def check(numbered):
        i, (id, (dataset, login)) = numbered
        api = cluster.apis[i % 2]
        document = wait_until(lambda: settled(api, id), FINAL_S, f"{id} is final")
        assert document["state"] == "succeeded", document
        body = api.result(id)
        assert body.content == expected(world, dataset, login), (login, shown(body.content))
        return document

    return {document["id"]: document
            for document in at_once(check, list(enumerate(requests.items())), N_CLIENTS)}


def test_no_job_is_lost_whatever_is_killed(cluster, world):
    jobs = some_jobs(world, N_JOBS)
    with Storm(cluster, jobs) as storm:
        for i, victim in enumerate(KILLS, 1):
            storm.wait_for(i * N_JOBS // (len(KILLS) + 2))
            cluster.kill(*victim)
        ids = storm.ids()
    assert len(set(ids)) == N_JOBS
    cluster.wait_until_ready()

    requests = all_requests(cluster.services.kafka)
    wrong = [(id, job, requests.get(id)) for id, job in zip(ids, jobs, strict=True)
             if requests.get(id) != job]
    assert not wrong, f"accepted is stored: {wrong[:5]}, {len(wrong)}"
    documents = check_all(cluster, world, requests)  # those of which nobody was told, too
    results = first_results(cluster.services.kafka)
    for id, document in documents.items():
        at, headers = results[id]
        result = document["result"]
        assert at == (result["partition"], result["offset"]), (document, headers)
        assert result["sha256"] == headers["tally-sha256"], (document, headers)
    for id, seen in storm.seen_final.items():
        # The recorder may have come to the result before it came to the request.
        assert seen == {name: documents[id][name] for name in seen}, (seen, documents[id])
    cluster.check_alive()
