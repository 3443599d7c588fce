"""How much a caller may ask: requests a second, in flight, waiting."""

import concurrent.futures
import contextlib

import pytest

from harness import Stack, wait_until
from jobs import Api
from keys import Keys, metric
from test_job_events import Stream


@pytest.fixture(scope="module")
def limited(services, tmp_path_factory):
    """A gateway without a worker, and callers with limits, by what is limited."""
    keys = Keys(tmp_path_factory.mktemp("limits") / "keys")
    limits = {"rate": (3,), "in_flight": (0, 2), "waiting": (0, 0, 2), "none": ()}
    named = {name: keys.add(name, *values) for name, values in limits.items()}
    with Stack(services, n_workers=0, gateway={"TALLY_API_KEYS": keys.path}) as stack:
        yield {name: Api(stack.url, key) for name, key in named.items()} | {"stack": stack}


def is_limited(answer):
    assert answer.status == 429, answer
    assert answer.json()["code"] == "rate_limited" and answer.json()["retryable"]
    return int(answer.headers["Retry-After"])


def test_more_requests_a_second_than_allowed_are_429(limited):
    api = limited["rate"]
    statuses = []
    refused = None
    while refused is None:
        answer = api.get("/v1/datasets")
        statuses.append(answer.status)
        refused = answer if answer.status != 200 else None
        assert len(statuses) < 1000
    assert statuses.count(200) >= 3
    assert is_limited(refused) == 1
    # Somebody else's limit is not touched, and one's own comes back.
    assert limited["none"].get("/v1/datasets").status == 200
    wait_until(lambda: api.get("/v1/datasets").status == 200, 5, "the limit gives way")


def test_more_requests_in_flight_than_allowed_are_429(limited):
    api = limited["in_flight"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(api.get, f"/api/general/?login=u{i}", Prefer="wait=4")
                 for i in range(2)]
        wait_until(lambda: metric(limited["stack"], "tally_waiters") == 2, 4, "both wait")
        assert is_limited(api.get("/v1/datasets")) >= 1
        assert [future.result().status for future in asked] == [504, 504]
    # One at a time always has its place: it is free before the answer is out.
    for _ in range(200):
        assert api.get("/v1/datasets").status == 200


def test_more_waits_than_allowed_are_429_and_a_stream_is_a_wait(limited):
    api = limited["waiting"]
    id = api.submit("general", {"login": "yanina"}, {"timeout_ms": 60_000})["id"]
    key = api.headers["Authorization"].removeprefix("Bearer ")
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stream = stack.enter_context(Stream(api.url, id, key=key))
            assert stream.status == 200
        for method, path, body in [("GET", f"/v1/jobs/{id}", None),
                                   ("POST", "/v1/jobs", {"dataset": "general",
                                                         "params": {"login": "yanina"}}),
                                   ("GET", "/api/general/?login=yanina", None)]:
            prefer = "wait=1" if path != "/api/general/?login=yanina" else "respond-async, wait=1"
            is_limited(api.call(method, path, body, Prefer=prefer))
        with Stream(api.url, id, key=key) as stream:
            assert stream.status == 429
        assert api.get(f"/v1/jobs/{id}").status == 200, "who does not wait is not limited"
    # Streams that have ended give their waits back.
    wait_until(lambda: api.get(f"/v1/jobs/{id}", Prefer="wait=1").status == 200, 30,
               "waits are given back")
    assert api.call("DELETE", f"/v1/jobs/{id}").status in (200, 202)
