"""Jobs as their users count on them: all end, once, with the same bytes everywhere."""

import threading
import uuid
from urllib.parse import quote

from harness import Service, Topic, at_once, port_of, shown, wait_until
from jobs import N_CLIENTS, Api, expected, sha256, some_jobs, wait_for_gateways
from test_job_events import store_away

N_JOBS = 10_000


class Results(threading.Thread):
    """Reads tally.results from now on: the first final record of each id, and whatever else came."""

    def __init__(self, kafka):
        super().__init__(daemon=True)
        self.topic = Topic(kafka, "tally.results")
        self.first = {}
        self.n = 0
        self.is_over = threading.Event()
        self.start()

    def run(self):
        while not self.is_over.is_set():
            message = self.topic.consumer.poll(0.2)
            if message is None or message.error():
                continue
            self.n += 1
            headers = {name: value.decode() for name, value in message.headers()}
            record = (message.partition(), message.offset(), headers, sha256(message.value()))
            id = message.key().decode()
            held = self.first.get(id)
            assert held is None or held[0] == record[0], "an id in two partitions"
            if held is None or record[1] < held[1]:
                self.first[id] = record

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()
        self.topic.close()


def check_everywhere(api, id, dataset, login, results, world):
    """One job: its document, its body and its message agree with the synchronous answer."""
    document = api.final(id)
    assert document["state"] == "succeeded", document
    body = api.result(id)
    assert body.status == 200, body
    assert body.content == expected(world, dataset, login), (login, shown(body.content))
    assert document["result"]["sha256"] == sha256(body.content)
    assert document["result"]["bytes"] == len(body.content)
    assert document["result"]["rows"] == len(body.json()["data"])
    wait_until(lambda: id in results.first, 30, f"the message of {id}")
    partition, offset, headers, digest = results.first[id]
    assert (document["result"]["partition"], document["result"]["offset"]) == (partition, offset)
    assert digest == headers["tally-sha256"] == document["result"]["sha256"]
    assert headers["tally-state"] == "succeeded"


def test_ten_thousand_jobs_end_once_with_the_same_bytes_everywhere(start_stack, services, world):
    stack = start_stack(n_workers=2)
    other = Service("tally-gateway", services.gateway_settings)
    apis = [Api(stack.url), Api(f"http://127.0.0.1:{port_of(other)}")]
    try:
        wait_for_gateways(*apis)
        with Results(services.kafka) as results:
            jobs = some_jobs(world, N_JOBS)

            def one(numbered):
                i, (dataset, login) = numbered
                id = apis[i % 2].submit(dataset, {"login": login})["id"]
                check_everywhere(apis[(i + 1) % 2], id, dataset, login, results, world)
                return id

            ids = at_once(one, list(enumerate(jobs)), N_CLIENTS)
            assert len(set(ids)) == N_JOBS
            assert set(results.first) >= set(ids)
            assert results.n == N_JOBS, "nothing died: each result is there once"
        for dataset, login in jobs[:20]:
            answer = stack.ask(dataset, login=login)
            assert answer.content == expected(world, dataset, login)
    finally:
        other.stop()


def test_without_a_worker_jobs_end_by_themselves(start_stack):
    stack = start_stack(n_workers=0)
    api = Api(stack.url)
    ids = [api.submit("comments", {"login": f"nobody{i}"}, {"timeout_ms": 1000})["id"]
           for i in range(20)]
    wait_until(lambda: all(api.job(id).get("overdue") for id in ids), 30, "all are overdue")
    for id in ids:
        document = api.final(id, 90)
        assert document["state"] == "failed", document
        assert document["error"]["code"] == "deadline_exceeded"
        assert api.result(id).status == 504
    # A worker that comes later changes nothing.
    before = [api.job(id) for id in ids]
    stack.start_worker().wait_for(r"event=ready\b")
    probe = api.submit("comments", {"login": "vladimir"})["id"]
    assert api.final(probe)["state"] == "succeeded"
    assert [api.job(id) for id in ids] == before


# ---- without the job store -----------------------------------------------------------------------

def is_away(answer):
    """Whether the store is away, told as it should be."""
    if answer.status != 503:
        return False
    problem = answer.json()
    assert problem["code"] == "job_store_unavailable" and problem["retryable"] is True, answer
    assert int(answer.headers["Retry-After"]) > 0, answer
    return True


class Poller(threading.Thread):
    """Asks for jobs all the time: each is there, or the store is not."""

    def __init__(self, api, ids):
        super().__init__(daemon=True)
        self.api = api
        self.ids = ids
        self.n_away = self.n_there = 0
        self.wrong = []
        self.is_over = threading.Event()
        self.start()

    def run(self):
        while not self.is_over.is_set():
            for id in list(self.ids):
                answer = self.api.get(f"/v1/jobs/{id}")
                if answer.status not in (200, 503):
                    self.wrong.append(answer)
                elif is_away(answer):
                    self.n_away += 1
                else:
                    self.n_there += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()


def check_without_the_store(api, world, jobs, ids):
    """What works without it, and what says that it does not; adds the ids of jobs to ids."""
    recorded = ids[0]
    wait_until(lambda: is_away(api.get(f"/v1/jobs/{recorded}")), 10, "the store is away")
    for i, (dataset, login) in enumerate(jobs):
        headers = {"Prefer": "wait=20"} if i % 4 == 0 else {}
        answer = api.post(dataset, {"login": login}, **headers)
        assert answer.status == (200 if headers else 202), answer
        ids.append(answer.json()["id"])
        if headers:
            assert answer.json()["state"] == "succeeded", answer
    dataset, login = jobs[0]
    for prefer in {}, {"Prefer": "respond-async, wait=20"}:
        answer = api.get(f"/api/{dataset}/?login={quote(login)}", **prefer)
        assert answer.content == expected(world, dataset, login), answer
    assert is_away(api.post(dataset, {"login": login}, Idempotency_Key=uuid.uuid4().hex))
    for id in recorded, ids[-1]:
        for method, ending in ("GET", ""), ("GET", "/result"), ("GET", "/events"), ("DELETE", ""):
            assert is_away(api.call(method, f"/v1/jobs/{id}{ending}")), (method, ending)
    assert is_away(api.get("/v1/jobs"))
    assert api.is_ready()


def test_no_job_is_lost_or_unknown_while_the_store_is_away(start_stack, services, world):
    stack = start_stack(n_workers=2)
    api = Api(stack.url)
    jobs = some_jobs(world, 40)
    ids = [api.submit(dataset, {"login": login})["id"] for dataset, login in jobs[:8]]
    before = [api.final(id) for id in ids]
    with Results(services.kafka) as results:
        with Poller(api, ids) as poller:
            wait_until(lambda: poller.n_there > 0, 10, "jobs are asked for")
            with store_away(services):
                check_without_the_store(api, world, jobs[8:], ids)
                wait_until(lambda: all(id in results.first for id in ids[8:]), 30, "all are done")
            n = poller.n_there
            wait_until(lambda: poller.n_there > n, 30, "the store is back")
        assert not poller.wrong and poller.n_away > 0, poller.wrong[:3]
        for id, (dataset, login) in zip(ids[8:], jobs[8:], strict=True):
            check_everywhere(api, id, dataset, login, results, world)
    assert [api.job(id) for id in ids[:8]] == before
