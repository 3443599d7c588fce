"""Server-sent events of jobs, as a browser reads them: each change of state once, whatever stops."""

import contextlib
import http.client
import json
import re
import threading
import time
import urllib.parse

import psycopg

from harness import Stack, locked, session, wait_until

TIMEOUT_S = 60
N_STREAMS = 200


class Stream:
    """GET /v1/jobs/{id}/events."""

    def __init__(self, url, id, last=None, key=None):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc,
                                                     timeout=TIMEOUT_S)
        headers = {"Last-Event-ID": str(last)} if last else {}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        self.connection.request("GET", f"/v1/jobs/{id}/events", headers=headers)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status

    def blocks(self):
        """Each block until the stream ends, as a list of (field, value); comments have no field."""
        block = []
        for line in iter(self.answer.readline, b""):
            line = line.decode().rstrip("\n")
            if line:
                block.append(tuple(line.split(": ", 1)) if ": " in line else ("", line))
            else:
                yield block
                block = []
        assert not block, "a block was cut off"

    def events(self):
        """(number, job) of each event until the stream ends."""
        for block in map(dict, self.blocks()):
            if "data" in block:
                assert block["event"] == "state"
                yield int(block["id"]), json.loads(block["data"])

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def submit(url, login="vladimir"):
    answer = session().post(url + "/v1/jobs", timeout=TIMEOUT_S,
                            json={"dataset": "comments", "params": {"login": login}})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def check_order(events):
    numbers = [number for number, _ in events]
    assert numbers == sorted(set(numbers)), numbers
    for number, job in events:
        assert number == {"queued": 1, "running": 2}.get(job["state"], 3)
        assert job["final"] == (number == 3)


def test_a_job_is_followed_to_its_end(stack):
    id = submit(stack.url)
    with Stream(stack.url, id) as stream:
        assert stream.status == 200
        assert stream.answer.headers["Content-Type"] == "text/event-stream"
        assert stream.answer.headers["Cache-Control"] == "no-store"
        assert "traceparent" in stream.answer.headers
        events = list(stream.events())
    check_order(events)
    assert events[-1][0] == 3
    job = events[-1][1]
    assert (job["id"], job["state"], job["result"]["rows"]) == (id, "succeeded", 1)
    # Now that it is final: once, or not at all for who has it.
    with Stream(stack.url, id) as stream:
        assert next(stream.blocks()) == [("retry", "2000")]
        assert list(stream.events()) == [(3, job)]
    for last, expected in (1, [3]), (2, [3]), ("x", [3]):
        with Stream(stack.url, id, last) as stream:
            assert [number for number, _ in stream.events()] == expected
    with Stream(stack.url, id, 3) as stream:
        assert (stream.status, stream.answer.read()) == (204, b"")


def test_a_slow_job_is_told_of_as_it_runs(stack, services):
    with locked(services.db2, "logs"):
        id = submit(stack.url)
        with Stream(stack.url, id) as stream:
            events, seen = stream.events(), []
            while not seen or seen[-1][0] < 2:
                seen.append(next(events))
        assert seen[-1][1]["state"] == "running"
    with Stream(stack.url, id, 2) as stream:
        rest = list(stream.events())
    assert [number for number, _ in rest] == [3]
    check_order(seen + rest)


def test_many_streams_of_one_job_all_hear_its_end(stack, services):
    with locked(services.db2, "logs"):
        id = submit(stack.url)
        streams = [Stream(stack.url, id) for _ in range(N_STREAMS)]
        assert {stream.status for stream in streams} == {200}
        assert count_streams(stack) == N_STREAMS
        for stream in streams[::2]:
            stream.close()
        wait_until(lambda: count_streams(stack) == N_STREAMS // 2, TIMEOUT_S, "half have left")
    for stream in streams[1::2]:
        events = list(stream.events())
        check_order(events)
        assert events[-1][0] == 3
        stream.close()
    wait_until(lambda: count_streams(stack) == 0, TIMEOUT_S, "all have ended")


def count_streams(stack):
    text = stack.get("/metrics").text
    return int(float(re.search(r"^tally_event_streams (\S+)$", text, re.M)[1]))


def test_a_gateway_that_stops_ends_its_streams_and_another_resumes(stack, services):
    with locked(services.db2, "logs"):
        with Stack(services, n_workers=0) as other:
            id = submit(other.url)
            stream = Stream(other.url, id)
            heard = []
            reader = threading.Thread(target=lambda: heard.extend(stream.events()))
            reader.start()
            wait_until(lambda: heard, TIMEOUT_S, "the stream has begun")
            began = time.monotonic()
        # The gateway has exited with 0.
        assert time.monotonic() - began < 20
        reader.join(TIMEOUT_S)
        assert not reader.is_alive(), "the stream goes on"
    assert heard[-1][0] < 3
    with Stream(stack.url, id, heard[-1][0]) as stream:
        rest = list(stream.events())
    assert rest[-1][0] == 3
    check_order(heard + rest)


def test_who_is_no_job_has_no_events(stack):
    for id in "0" * 39, "x" * 39, "nothing", "06" + "z" * 37:
        with Stream(stack.url, id) as stream:
            assert stream.status == 404
            assert json.loads(stream.answer.read())["code"] == "not_found"


@contextlib.contextmanager
def store_away(services):
    """Nobody can reach the job store within."""
    name = urllib.parse.urlsplit(services.jobs).path[1:]
    with psycopg.connect(services.db1, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                               " WHERE datname = %s", [name])
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_a_job_store_that_is_away_ends_no_stream_and_lets_none_begin(stack, services):
    with locked(services.db2, "logs"):
        id = submit(stack.url)
        stream = Stream(stack.url, id)
        events = stream.events()
        heard = [next(events)]
    with store_away(services), Stream(stack.url, id) as refused:
        assert refused.status == 503
        assert json.loads(refused.answer.read())["code"] == "job_store_unavailable"
        assert int(refused.answer.headers["Retry-After"]) > 0
    heard += events
    assert heard[-1][0] == 3
    check_order(heard)
