"""More callers than the workers can serve: those who are taken are answered, the others are told at
once when to come again, and afterwards all is as before.  make bench-overload measures it."""

import itertools
import threading
import time

import pytest

from harness import START_S, is_problem, session, wait_until
from keys import metric

CALLERS = 64
NAP_S = 0.02
BATCH = 4
WAIT_S = 20
NAP = f"""-- dataset nap: sleeps {NAP_S} s for each request
-- param   login text required max=256
-- column  slept text
-- step nap on db1 by login
SELECT q.login, pg_sleep({NAP_S})::text AS slept FROM unnest(:login) AS q(login);
"""


@pytest.fixture
def stack(start_stack, tmp_path):
    """50 requests a second are the most: batches of four, one after the other."""
    (tmp_path / "nap.sql").write_text(NAP)
    settings = {"TALLY_DATASETS": tmp_path}
    return start_stack(n_workers=1, gateway=settings, worker=settings | {
        "TALLY_SOURCE_CONNECTIONS": 1, "TALLY_BATCHES_IN_FLIGHT": 1, "TALLY_BATCH_MAX": BATCH})


class Crowd:
    """Callers, each of whom asks again as soon as he has an answer, or has waited a little after
    being refused."""

    def __init__(self, stack):
        self.stack = stack
        self.names = itertools.count()
        self.answers = []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]

    def _ask(self):
        http = session()
        while not self.is_over.is_set():
            answer = http.get(f"{self.stack.url}/api/nap/", timeout=WAIT_S + 10,
                              params={"login": f"caller {next(self.names)}"},
                              headers={"Prefer": f"wait={WAIT_S}"})
            self.answers.append(answer)
            if answer.status_code != 200:
                self.is_over.wait(0.1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def refused(self):
        return [answer for answer in self.answers if answer.status_code != 200]


def test_past_what_the_workers_can_do_callers_are_refused_at_once_and_the_others_served(stack):
    with Crowd(stack) as crowd:
        wait_until(lambda: len(crowd.refused()) >= 100, 60, "callers are refused")
        served = len(crowd.answers) - len(crowd.refused())
        wait_until(lambda: len(crowd.answers) - len(crowd.refused()) >= served + 100, 60,
                   "others are served meanwhile")
        wait_until(lambda: metric(stack, "tally_predicted_wait_seconds") > 0, 60, "it is told")
    for answer in crowd.refused():
        is_problem(answer, "saturated")
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["Retry-After"]) <= 30
        assert "would wait" in answer.json()["detail"]
    # Nobody was taken and then left waiting until the end of his patience.
    assert max(answer.elapsed.total_seconds() for answer in crowd.answers) < WAIT_S
    wait_until(lambda: stack.ask("nap", login=f"late {time.monotonic()}").status_code == 200,
               START_S, "there is a place again")
    wait_until(lambda: (stack.ask("nap", login=f"later {time.monotonic()}").status_code == 200
                        and metric(stack, "tally_predicted_wait_seconds") == 0), START_S,
               "the queue has gone")
