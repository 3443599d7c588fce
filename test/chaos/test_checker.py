"""The checker complains: each rule is shown a history that breaks it, and one that does not."""

import copy
import dataclasses
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import checker  # noqa: E402
import world  # noqa: E402
from history import History, Request, Result, Results, Stored  # noqa: E402

EXPECTED = world.expected()
A, B, F, K, C = "a" * 39, "b" * 39, "x" + "f" * 38, "k" * 39, "c" * 39
CANCELLED = Result("cancelled", 3, 9, "0" * 64, None, "cancelled")


def rows_of(id):
    return EXPECTED["comments", LOGINS[id]]


LOGINS = {A: "user0001", B: "user0002", F: "user0003", K: "user0004", C: "user0005"}
NUMBERS = {A: 1, B: 2, F: 3, K: 4, C: 5}


def result_of(id):
    return Result("succeeded", NUMBERS[id], 10, rows_of(id), rows_of(id), None)


def document(id, result=None):
    made = {"id": id, "state": result.state if result else "queued", "final": bool(result),
            "dataset": "comments", "params": {"login": LOGINS[id]}, "result": None}
    if result and result.state == "succeeded":
        made["result"] = {"partition": result.partition, "offset": result.offset,
                          "sha256": result.sha256}
    return made


def call(name, id, t, status=200, **more):
    return {"op": NUMBERS[id], "kind": "poll", "call": name, "gateway": "gateway0", "id": id,
            "dataset": "comments", "login": LOGINS[id], "wait": 0, "t": t, "r": t + 0.1,
            "status": status} | more


def submitted(id, t, **more):
    made = call("submit", id, t, 202, doc=document(id), **more)
    del made["id"]
    return made


def good():
    """A history in which nothing is wrong."""
    results = {id: [result_of(id)] for id in (A, B, F, K)} | {C: [CANCELLED]}
    stored = {id: [Stored("succeeded", "comments", LOGINS[id], NUMBERS[id], 10, rows_of(id),
                          rows_of(id), None)] for id in (A, B, F, K)}
    stored[C] = [Stored("cancelled", "comments", LOGINS[C], 3, 9, None, None, "cancelled")]
    calls = [
        submitted(A, 1), submitted(B, 2), submitted(K, 3, key="key", kind="keyed"),
        submitted(K, 4, key="key", kind="keyed"),
        submitted(C, 5), call("cancel", C, 6, 202, doc=document(C)),
        call("publish", F, 7, 202, kind="foreign", gateway=None),
        call("job", F, 7.2, 404, kind="foreign", code="not_found"),
        call("rows", A, 8, sha256=rows_of(A)),
        call("rows", B, 8, 504, code="deadline_exceeded", r=13.0, wait=5),
        call("job", A, 9, doc=document(A)), call("job", A, 10, doc=document(A, result_of(A))),
        call("result", A, 11, sha256=rows_of(A)),
        call("result", C, 12, 409, code="cancelled"),
        call("events", B, 13, events=[1, 3], doc=document(B, result_of(B))),
        call("submit", B, 14, 503, code="kafka_unavailable", op=77),
        call("submit", K, 15, 422, code="idempotency_key_reused", op=78, key="key", differs=True,
             login="user0009"),
        call("job", A, 16, "broken"), call("rows", A, 17, "left"),
    ]
    requests = {id: Request("comments", LOGINS[id], None if id == F else str(NUMBERS[id]), id == F)
                for id in (A, B, F, K, C)}
    samples = [(t, name, 100, 50.0 + t % 3, 40) for t in range(90)
               for name in ("gateway0", "worker1")]
    return History(calls=calls, expected=EXPECTED, requests=requests, results=results,
                   stored=stored, read={A: result_of(A)}, samples=samples,
                   ends=[{"name": "worker0", "pid": 1, "code": -9, "meant": True},
                         {"name": "worker0", "pid": 2, "code": 0, "meant": True}],
                   faults=[{"kind": "kill", "target": "worker0", "struck": 20.0, "healed": 22.0,
                            "recovered": True}],
                   lags={"tally.results": 0})


def find(history, name, id):
    return next(call for call in history.calls if call["call"] == name and
                (call.get("id") == id or call.get("doc", {}).get("id") == id))


# ---- what is wrong -------------------------------------------------------------------------------

def lose_the_request(history):
    del history.requests[A]


def lose_the_result(history):
    del history.results[A]


def lose_a_foreign_result(history):
    del history.results[F]


def lose_the_row(history):
    del history.stored[B]


def double_the_row(history):
    history.stored[B] *= 2


def leave_it_running(history):
    history.stored[B][0].state = "running"


def never_end(history):
    history.n_open = 1


def run_what_nobody_requested(history):
    history.results["z" * 39] = [result_of(A)]


def store_what_nobody_requested(history):
    history.stored["z" * 39] = [history.stored[A][0]]


def request_what_nobody_submitted(history):
    history.requests["z" * 39] = Request("comments", "user0001", "1000", False)


def request_what_nobody_published(history):
    history.requests["x" + "z" * 38] = Request("comments", "user0001", None, True)


def request_what_nobody_asked_for(history):
    history.requests["z" * 39] = Request("comments", "user0001", None, False)


def request_something_else(history):
    history.requests[A].login = "user0002"


def submit_once_and_request_twice(history):
    history.requests["z" * 39] = Request("comments", LOGINS[A], "1", False)


def give_a_key_two_jobs(history):
    history.calls.append(submitted(A, 20, key="key"))


def accept_another_request_with_a_key(history):
    history.calls.append(submitted(B, 20, key="key", differs=True))


def answer_with_the_rows_of_another(history):
    find(history, "rows", A)["sha256"] = rows_of(B)


def read_the_result_of_another(history):
    find(history, "result", A)["sha256"] = rows_of(B)


def answer_half_of_the_rows(history):
    find(history, "rows", A)["sha256"] = world.sha256(b"{}")


def show_another_job(history):
    history.calls.append(call("job", A, 20, doc=document(B)))


def show_the_parameters_of_another(history):
    find(history, "job", A)["doc"]["params"]["login"] = "user0002"


def publish_the_result_of_another(history):
    history.results[A][0] = dataclasses.replace(result_of(B), partition=1)


def publish_a_second_result_of_another(history):
    history.results[A].append(result_of(B))


def publish_a_wrong_hash(history):
    history.results[A][0].told = "0" * 64


def fail_without_an_excuse(history):
    history.results[A][0] = Result("failed", 1, 10, "0" * 64, None, "source_error")


def poison_it(history):
    history.results[A][0] = Result("failed", 1, 10, "0" * 64, None, "poisoned")


def cancel_what_nobody_cancelled(history):
    history.results[A][0] = CANCELLED


def bury_a_letter(history):
    history.letters.append("ce_id")


def change_the_state(history):
    find(history, "events", B)["doc"] |= {"state": "failed"}


def change_the_offset(history):
    history.calls.append(call("job", A, 20, doc=document(
        A, dataclasses.replace(result_of(A), offset=11))))


def show_a_result_that_is_not_there(history):
    history.calls.append(call("job", A, 20, doc=document(A, CANCELLED)))


def become_queued_again(history):
    history.calls.append(call("job", A, 20, doc=document(A)))


def become_queued_after_an_event(history):
    history.calls.append(call("job", B, 20, doc=document(B)))


def succeed_without_a_result(history):
    find(history, "events", B)["doc"]["result"] = None


def store_a_later_result(history):
    history.results[A].insert(0, dataclasses.replace(result_of(A), offset=9))


def store_other_rows(history):
    history.stored[A][0].body = rows_of(B)


def store_another_request(history):
    history.stored[A][0].login = "user0002"


def let_a_reader_meet_another(history):
    history.read[A] = dataclasses.replace(result_of(A), sha256=rows_of(B))


def repeat_an_event(history):
    find(history, "events", B)["events"] = [1, 1, 3]


def end_without_the_last_event(history):
    find(history, "events", B)["events"] = [1, 2]


def forget_an_accepted_job(history):
    history.calls.append(call("job", A, 20, 404, code="not_found"))


def fail_inside(history):
    history.calls.append(call("rows", A, 20, 500, code="internal_error"))


def give_an_undocumented_reason(history):
    history.calls.append(call("submit", A, 20, 503, code="internal_error", op=79))


def refuse_rows_that_are_there(history):
    history.calls.append(call("result", A, 20, 409, code="result_not_ready"))


def wait_for_ever(history):
    history.calls.append(call("rows", A, 40, "late", r=75.0, wait=5))


def wait_long(history):
    history.calls.append(call("rows", A, 40, 504, code="deadline_exceeded", r=75.0, wait=5))


def crash(history):
    history.ends.append({"name": "worker0", "pid": 3, "code": -11, "meant": False, "log": ""})


def crash_while_it_stops(history):
    history.ends.append({"name": "worker0", "pid": 3, "code": -11, "meant": True})


def hang(history):
    history.ends.append({"name": "worker0", "pid": 3, "code": -9, "meant": True, "hung": True})


def answer_nobody_without_a_log(history):
    history.faults.append({"kind": "pipe", "target": "gateway0", "hold_s": 5.0, "alone": True,
                           "struck": 100.0, "begun": 101.0, "healing": 106.0, "healed": 107.0,
                           "recovered": True})


def leak(history):
    history.samples += [(100 + t, "worker0", 3, 50.0 + 2 * t, 40) for t in range(90)]


def be_fat(history):
    history.samples.append((100, "gateway0", 100, 1000.0, 40))


def leave_files_open(history):
    history.samples.append((100, "gateway0", 100, 50.0, 5000))


def leave_messages(history):
    history.lags["tally.results"] = 1


def stay_unwell(history):
    history.faults[0]["recovered"] = False


BREAKS = {
    "accepted_is_stored_and_final": [lose_the_request, lose_the_result, lose_a_foreign_result],
    "every_request_has_one_final_row": [lose_the_row, double_the_row, leave_it_running,
                                        lose_the_result],
    "nothing_is_open": [never_end],
    "results_are_of_requests": [run_what_nobody_requested, store_what_nobody_requested,
                                lose_the_request],
    "requests_are_of_callers": [request_what_nobody_submitted, request_what_nobody_published,
                                request_what_nobody_asked_for, request_something_else,
                                submit_once_and_request_twice],
    "a_key_is_one_job": [give_a_key_two_jobs, accept_another_request_with_a_key],
    "rows_are_right": [answer_with_the_rows_of_another, read_the_result_of_another,
                       answer_half_of_the_rows],
    "documents_are_of_what_was_asked": [show_another_job, show_the_parameters_of_another],
    "results_are_right": [publish_the_result_of_another, publish_a_second_result_of_another,
                          publish_a_wrong_hash],
    "failures_have_an_excuse": [fail_without_an_excuse, poison_it, cancel_what_nobody_cancelled,
                                bury_a_letter],
    "final_never_changes": [change_the_state, change_the_offset, show_a_result_that_is_not_there,
                            lose_the_result, succeed_without_a_result],
    "final_stays_final": [become_queued_again, become_queued_after_an_event],
    "store_agrees": [store_a_later_result, store_other_rows, store_another_request],
    "readers_agree": [read_the_result_of_another, let_a_reader_meet_another],
    "events_are_in_order": [repeat_an_event, end_without_the_last_event],
    "statuses_are_of_the_contract": [forget_an_accepted_job, fail_inside,
                                     give_an_undocumented_reason, refuse_rows_that_are_there],
    "nobody_waits_too_long": [wait_for_ever, wait_long],
    "processes_end_when_they_are_told": [crash, crash_while_it_stops, hang],
    "nobody_waits_for_who_reads_logs": [answer_nobody_without_a_log],
    "memory_and_files_are_bounded": [leak, be_fat, leave_files_open],
    "all_recovers": [leave_messages, stay_unwell],
}


def test_a_good_history_is_good():
    assert checker.check(good()) == []


def test_every_rule_is_tried():
    assert list(BREAKS) == [rule.__name__ for rule in checker.RULES]


@pytest.mark.parametrize("rule, damage", [(rule, damage) for rule, several in BREAKS.items()
                                          for damage in several],
                         ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_what_is_wrong_is_found(rule, damage):
    history = copy.deepcopy(good())
    damage(history)
    assert rule in {name for name, _ in checker.check(history)}


def test_a_job_of_an_old_key_may_be_unknown_for_a_while():
    history = good()
    history.calls += [submitted(K, 100, key="key"),
                      call("job", K, 101, 404, code="not_found")]
    assert checker.check(history) == []
    history.calls[-2]["t"] = 10
    assert checker.check(history) != []


def test_one_answer_while_the_log_stands_still_will_do():
    history = good()
    answer_nobody_without_a_log(history)
    history.calls.append(call("rows", A, 102, sha256=rows_of(A)))
    assert checker.check(history) == []


def test_a_wait_is_no_fault_of_a_gateway_that_was_held():
    history = good()
    wait_long(history)
    history.faults.append({"kind": "stop", "target": "gateway0", "struck": 41.0, "healed": 71.0,
                           "recovered": True})
    assert checker.check(history) == []


def test_a_job_of_a_gateway_whose_clock_is_behind_may_be_unknown_for_a_while():
    history = good()
    forget_an_accepted_job(history)
    history.faults.append({"kind": "clock", "target": "gateway0", "detail": "-3600", "struck": 0.5,
                           "healed": 2.0, "recovered": True})
    assert checker.check(history) == []
    history.faults[-1]["target"] = "gateway1"
    assert checker.check(history) != []


# ---- how results are read ------------------------------------------------------------------------

class Message:
    def __init__(self, id, offset, value, **headers):
        self.id, self.at, self.body = id, offset, value
        self.named = [(name.replace("_", "-"), text.encode()) for name, text in headers.items()]

    def key(self):
        return self.id.encode()

    def value(self):
        return self.body

    def offset(self):
        return self.at

    def partition(self):
        return 0

    def headers(self):
        return self.named


def test_parts_of_two_runs_do_not_mix():
    results = Results()
    first = {"tally_state": "succeeded", "tally_run": "1"}
    second = {"tally_state": "succeeded", "tally_run": "2"}
    assert results.take(Message(A, 0, b"a", tally_part="1", **first)) is None
    assert results.take(Message(A, 1, b"x", tally_part="1", **second)) is None
    whole = results.take(Message(A, 2, b"b", tally_part="2", tally_parts="2", **first))
    assert whole[1].sha256 == world.sha256(b"ab") and whole[1].offset == 2
    whole = results.take(Message(A, 3, b"y", tally_part="2", tally_parts="2", **second))
    assert whole[1].sha256 == world.sha256(b"xy")


# ---- the world -----------------------------------------------------------------------------------

def test_no_two_users_have_the_same_answer():
    assert len(set(EXPECTED.values())) == len(EXPECTED) == 2 * world.N_USERS
