"""Jobs that are cancelled while they run: the query goes, nobody else's does, and all hear of it."""

import contextlib
import json

import psycopg
import pytest

from harness import Topic, locked, port_of, wait_until
from jobs import Api, expected
from keys import metric
from test_job_events import Stream, check_order

STOPPED_S = 8  # a query is stopped within a second or two; a busy machine takes longer


class Worker:
    """The one worker, as its metrics and the server of db2 show it."""

    def __init__(self, stack, url):
        self.url = f"http://127.0.0.1:{port_of(stack.workers[0])}"
        self.db2 = url

    def gauge(self, name):
        return metric(self, name + '{lane="jobs"}')

    def queries(self):
        """The backends whose query waits for the table."""
        with psycopg.connect(self.db2) as connection:
            rows = connection.execute("SELECT pid FROM pg_stat_activity WHERE datname ="
                                      " current_database() AND wait_event_type = 'Lock'"
                                      " AND state = 'active'").fetchall()
        return {pid for pid, in rows}

    def wait_for_queries(self, n):
        wait_until(lambda: len(self.queries()) == n, 30, f"{n} queries")
        return self.queries()


@pytest.fixture
def stack(start_stack):
    return start_stack(n_workers=1, worker={"TALLY_METRICS_LISTEN": "127.0.0.1:0",
                                            "TALLY_BATCHES_IN_FLIGHT": 2})


def cancel(api, id):
    answer = api.call("DELETE", f"/v1/jobs/{id}")
    assert answer.status == 202, answer


def check_cancelled(api, id, stream):
    document = api.final(id)
    assert document["state"] == "cancelled" and document["error"]["code"] == "cancelled"
    assert document["result"] is None
    assert api.result(id).status == 409
    events = list(stream.events())
    check_order(events)
    number, told = events[-1]
    assert number == 3
    assert told == {name: document[name] for name in told}


def test_a_query_is_stopped_when_all_of_its_batch_are_cancelled(stack, services, world):
    logins = [login for login in world.ids if world.comments(login)][:4]
    api = Api(stack.url)
    worker = Worker(stack, services.db2)
    with contextlib.ExitStack() as opened:
        results = opened.enter_context(Topic(services.kafka, "tally.results"))

        def submit(login):
            id = api.submit("comments", {"login": login})["id"]
            return id, opened.enter_context(Stream(stack.url, id))

        with locked(services.db2, "logs"):
            keeper, _ = submit(logins[0])
            kept = worker.wait_for_queries(1)
            alone = submit(logins[1])
            both = worker.wait_for_queries(2)
            # No more than two batches at once: these two wait, and go together.
            pair = [submit(login) for login in logins[2:]]
            wait_until(lambda: worker.gauge("tally_requests_open") == 4, 30, "all are taken")
            cancel(api, alone[0])
            wait_until(lambda: not (both - kept) & worker.queries()
                       and len(worker.queries()) == 2, STOPPED_S, "the next batch has its place")
            shared = worker.queries() - kept
            assert worker.gauge("tally_batch_requests_count") == 3
            assert worker.gauge("tally_batch_requests_sum") == 4
            cancel(api, pair[0][0])
            check_cancelled(api, *pair[0])
            assert worker.queries() == kept | shared, "one of the two still wants it"
            cancel(api, pair[1][0])
            wait_until(lambda: worker.queries() == kept, STOPPED_S, "the query has gone")
            for job in alone, pair[1]:
                check_cancelled(api, *job)
            assert api.job(keeper)["final"] is False
        assert api.final(keeper)["state"] == "succeeded"
        assert api.result(keeper).content == expected(world, "comments", logins[0])
        wait_until(lambda: worker.gauge("tally_requests_open") == 0, 30, "nothing is left")
        check_topic(results, keeper, [alone[0], pair[0][0], pair[1][0]])


def check_topic(results, succeeded, cancelled):
    """Each has one result; of the others the worker has told nothing."""
    states = {}
    for message in results.messages(30, lambda: f"results, not only {states}"):
        id = message.key().decode()
        headers = {name: value.decode() for name, value in message.headers()}
        assert id not in states
        states[id] = headers["tally-state"]
        if headers["tally-state"] == "cancelled":
            assert json.loads(message.value())["code"] == "cancelled"
        if len(states) == results.added():
            break
    assert states == {succeeded: "succeeded"} | dict.fromkeys(cancelled, "cancelled")
