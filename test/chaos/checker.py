"""Judges a run.  check() is a function of a history alone: it reads no file, no clock, no network.

Each rule yields what is wrong as text.  test_checker.py feeds it wrong histories."""

import collections
import statistics

FINAL = ("succeeded", "failed", "cancelled")
ACCEPTED = (200, 202)
# What a caller may be told while something is away; what it never may be told is everything else.
REFUSALS = {429: {"rate_limited"},
            503: {"saturated", "kafka_unavailable", "outcome_unknown", "job_store_unavailable",
                  "source_unavailable"},
            504: {"deadline_exceeded"}}
ALLOWED = {
    "rows": {200, 429, 503, 504},
    "async": {200, 202, 429, 503, 504},
    "submit": {200, 202, 429, 503},
    "job": {200, 429, 503},
    "result": {200, 429, 503},
    "cancel": {200, 202, 429, 503},
    "events": {200, 204, 429, 503},
    "publish": {202},
}
NO_ANSWER = {"left", "broken", "refused", "late", "unknown"}
# Why an honest job may fail here.
EXCUSES = {"source_unavailable"}
LATE_S = 20          # after its wait, when its gateway was not held
MOST_MIB = {"gateway": 256, "worker": 256}
MOST_FILES = {"gateway": 1500, "worker": 250}
SURE_S = 50          # an id is younger for every clock
GROWTH = 1.25        # of the last third of a process's life beside the second
GROWTH_MIB = 24
OLD_ENOUGH = 60      # samples
LONG_ENOUGH_S = 3    # that a log stands still


def check(history):
    """What is wrong: (rule, text)."""
    return [(rule.__name__, text) for rule in RULES for text in rule(history)]


def _accepted(history):
    """(id, call) of everything that was accepted."""
    for call in history.calls:
        if call["status"] not in ACCEPTED:
            continue
        if call["call"] in ("submit", "async") and "doc" in call:
            yield call["doc"]["id"], call
        elif call["call"] == "publish":
            yield call["id"], call


def _first(history, id):
    return history.results[id][0] if history.results.get(id) else None


def _documents(history):
    """(id, call, document) of every document of a job that a caller has seen."""
    for call in history.calls:
        if call.get("doc"):
            yield call["doc"]["id"], call, call["doc"]


# ---- nothing is lost -----------------------------------------------------------------------------

def accepted_is_stored_and_final(history):
    for id, call in _accepted(history):
        if id not in history.requests:
            yield f"{id}, accepted at {call['t']} s, is not in the topic"
        elif id not in history.results:
            yield f"{id}, accepted at {call['t']} s, has no result"


def every_request_has_one_final_row(history):
    """Also of those whose caller was never told."""
    for id in history.requests:
        rows = history.stored.get(id, [])
        if len(rows) != 1:
            yield f"{id} has {len(rows)} rows in the store"
        elif rows[0].state not in FINAL:
            yield f"{id} is {rows[0].state} in the store in the end"
        if id not in history.results:
            yield f"{id}, requested, has no result"


def nothing_is_open(history):
    if history.n_open:
        yield f"{history.n_open} operations never ended"


# ---- nothing runs that was not asked for ---------------------------------------------------------

def results_are_of_requests(history):
    for id in history.results:
        if id not in history.requests:
            yield f"{id} has a result and was never requested"
    for id in history.stored:
        if id not in history.requests:
            yield f"{id} is in the store and was never requested"


def requests_are_of_callers(history):
    """By the label, or by what was asked where a caller can give none; and each at most once."""
    labels, ids, asked = {}, {}, collections.Counter()
    for call in history.calls:
        what = call.get("dataset"), call.get("login")
        if call["call"] == "submit":
            labels.setdefault(call.get("label") or str(call["op"]), set()).add(what)
        elif call["call"] == "publish":
            ids[call["id"]] = what
        elif call["call"] == "async":
            asked[what] += 1
    seen = {}
    for id, request in history.requests.items():
        what = request.dataset, request.login
        if request.is_foreign:
            if ids.get(id) != what:
                yield f"{id}: nobody published {what}"
        elif request.label is None:
            asked[what] -= 1
            if asked[what] < 0:
                yield f"{id}: nobody asked for {what} so often"
        elif what not in labels.get(request.label, ()):
            yield f"{id}: nobody submitted {what} with the label {request.label}"
        elif request.label in seen:
            yield f"{id} and {seen[request.label]} are of one submission"
        else:
            seen[request.label] = id


def a_key_is_one_job(history):
    known = collections.defaultdict(set)
    for call in history.calls:
        if call["call"] != "submit" or "key" not in call or call["status"] not in ACCEPTED:
            continue
        if call.get("differs"):
            yield f"another request with the key {call['key']} was accepted"
        else:
            known[call["key"]].add(call["doc"]["id"])
    for key, ids in known.items():
        if len(ids) > 1:
            yield f"the key {key} is {len(ids)} jobs: {sorted(ids)}"


# ---- every answer is its request's ---------------------------------------------------------------

def rows_are_right(history):
    """Whatever came with 200 is what this login and no other has."""
    for call in history.calls:
        if "sha256" in call and call["status"] == 200:
            if call["sha256"] != history.expected[call["dataset"], call["login"]]:
                yield f"{call['call']} of {call['dataset']} {call['login']} at {call['t']} s"


def documents_are_of_what_was_asked(history):
    for id, call, document in _documents(history):
        if call.get("id", id) != id:
            yield f"{call['id']} was asked for and {id} came at {call['t']} s"
        params = document.get("params")
        if params is not None and (document["dataset"], params.get("login")) != \
                (call["dataset"], call["login"]):
            yield f"{id}: {document['dataset']} {params} at {call['t']} s"


def results_are_right(history):
    for id, results in history.results.items():
        request = history.requests.get(id)
        for result in results:
            if result.state != "succeeded" or request is None:
                continue
            if result.sha256 != history.expected[request.dataset, request.login]:
                yield f"{id} at {result.partition}/{result.offset} is not of {request.login}"
            if result.told != result.sha256:
                yield f"{id} at {result.partition}/{result.offset} has another hash in its header"


def failures_have_an_excuse(history):
    cancelled = {call["id"] for call in history.calls if call["call"] == "cancel"}
    for id in history.results:
        first = _first(history, id)
        if first.state == "failed" and first.code not in EXCUSES:
            yield f"{id} failed with {first.code}"
        if first.state == "cancelled" and id not in cancelled:
            yield f"{id} is cancelled and nobody asked for that"
    for reason in history.letters:
        yield f"a dead letter: {reason}"


# ---- final is final, and the same everywhere -----------------------------------------------------

def final_never_changes(history):
    """Every document that a caller saw final is the first result in the topic, as is the row."""
    for id, call, document in _documents(history):
        if not document["final"]:
            continue
        first = _first(history, id)
        if first is None:
            yield f"{id} was {document['state']} at {call['t']} s and has no result"
        elif document["state"] != first.state:
            yield f"{id} was {document['state']} at {call['t']} s, its first result {first.state}"
        elif document.get("result"):
            result = document["result"]
            if (result["partition"], result["offset"], result["sha256"]) != \
                    (first.partition, first.offset, first.sha256):
                yield f"{id} at {call['t']} s shows another result than the first: {result}"
        elif first.state == "succeeded":
            yield f"{id} succeeded at {call['t']} s without a result"


def final_stays_final(history):
    """Who asks after somebody was told that a job is final is told so, too.

    Not who submits: that answer comes from Kafka, and the others from the job store, which may not
    have it yet.  And a key that could not be confirmed is published again, and told so."""
    told = {}
    for id, call, document in _documents(history):
        if document["final"] and call["call"] != "submit":
            told[id] = min(call["r"], told.get(id, call["r"]))
    for id, call, document in _documents(history):
        if not document["final"] and call["call"] != "submit" and \
                call["t"] > told.get(id, call["t"]):
            yield (f"{id} was final at {told[id]} s, and {document['state']} for {call['call']} at "
                   f"{call['t']} s")


def store_agrees(history):
    for id, rows in history.stored.items():
        first = _first(history, id)
        if first is None or rows[0].state not in FINAL:
            continue
        row = rows[0]
        if (row.state, row.partition, row.offset) != (first.state, first.partition, first.offset):
            yield f"{id} is {row} in the store, and first in the topic {first}"
        if first.state == "succeeded" and not row.sha256 == row.body == first.sha256:
            yield f"{id} has other rows in the store than in the topic"
        request = history.requests.get(id)
        if request and (row.dataset, row.login) != (request.dataset, request.login):
            yield f"{id} is of {row.dataset} {row.login} in the store"


def readers_agree(history):
    """Bytes of /result, and of who read the topic meanwhile, are those of the first result."""
    for call in history.calls:
        if call["call"] == "result" and call["status"] == 200:
            first = _first(history, call["id"])
            if first is None or first.sha256 != call["sha256"]:
                yield f"/result of {call['id']} at {call['t']} s is not the topic's"
    for id, result in history.read.items():
        if result != _first(history, id):
            yield f"a reader of the topic met {result} of {id} first, not {_first(history, id)}"


def events_are_in_order(history):
    for call in history.calls:
        if call["call"] != "events":
            continue
        numbers = call["events"]
        if numbers != sorted(set(numbers)) or not set(numbers) <= {1, 2, 3}:
            yield f"{call['id']}: events {numbers} at {call['t']} s"
        if numbers and (numbers[-1] == 3) != call["doc"]["final"]:
            yield f"{call['id']}: event {numbers[-1]} is {call['doc']['state']}"


# ---- what callers are told -----------------------------------------------------------------------

def _of_old_ids(history):
    """Ids that were more than a minute old when they were published: of gateways whose clock was
    behind, and of keys that were claimed then and published by a retry.  Such a job is not known
    before it is recorded."""
    behind = [(fault["target"], fault["struck"], fault["healed"]) for fault in history.faults
              if fault["kind"] == "clock" and fault["detail"].startswith("-")]
    claimed = {}
    for call in history.calls:
        if "key" in call:
            claimed[call["key"]] = min(call["t"], claimed.get(call["key"], call["t"]))
    return {id for id, call in _accepted(history)
            if call["t"] - claimed.get(call.get("key"), call["t"]) > SURE_S
            or any(call["gateway"] == target and struck <= call["r"] and call["t"] <= healed
                   for target, struck, healed in behind)}


def statuses_are_of_the_contract(history):
    unknown = _of_old_ids(history)
    for call in history.calls:
        status = call["status"]
        if status in NO_ANSWER or (status in ALLOWED.get(call["call"], ()) and
                                   call.get("code") in REFUSALS.get(status, {None})):
            continue
        if status == 404 and (call.get("id") in unknown or call["kind"] == "foreign"):
            continue  # it is known when it is recorded
        if call["call"] == "submit" and call.get("differs") and status == 422:
            continue
        if call["call"] == "result" and _is_failure(history, call):
            continue
        yield (f"{call['call']} at {call['t']} s ({call['gateway']}, {call.get('id')}): {status} "
               f"{call.get('code')}")


def _is_failure(history, call):
    """The error of a job that has no rows."""
    first = _first(history, call["id"])
    return first is not None and first.state != "succeeded" and call["status"] in (409, 503, 504)


def nobody_waits_too_long(history):
    """Past the wait that was asked for; unless something on the way was held or slowed."""
    held = [(fault["struck"], fault["healed"]) for fault in history.faults
            if fault["target"].startswith(("gateway", "http", "kafka", "broker", "jobs"))]
    for call in history.calls:
        took = call["r"] - call["t"] - call.get("wait", 0)
        if call["status"] != "late" and (took < LATE_S or call["call"] in ("events", "publish")):
            continue
        if not any(call["t"] < healed + LATE_S and struck < call["r"] for struck, healed in held):
            yield f"{call['call']} at {call['t']} s took {call['r'] - call['t']:.1f} s"


# ---- our processes -------------------------------------------------------------------------------

def processes_end_when_they_are_told(history):
    for end in history.ends:
        if not end["meant"]:
            yield f"{end['name']} ended by itself with {end['code']}: {end.get('log', '')[-800:]}"
        if end.get("hung"):
            yield f"{end['name']} did not end after SIGTERM"
        if end["meant"] and end["code"] < 0 and end["code"] != -9:
            yield f"{end['name']} ended with signal {-end['code']}"


def nobody_waits_for_who_reads_logs(history):
    """While a gateway's log stood still it answered."""
    for fault in history.faults:
        if fault["kind"] != "pipe" or not fault["target"].startswith("gateway") or \
                not fault["alone"] or fault["hold_s"] < LONG_ENOUGH_S:
            continue
        if not any(call["gateway"] == fault["target"] and call["call"] == "rows" and
                   call["status"] == 200 and fault["begun"] <= call["t"] and
                   call["r"] <= fault["healing"] for call in history.calls):
            yield f"{fault['target']} answered nobody from {fault['begun']} s on"


def memory_and_files_are_bounded(history):
    lives = collections.defaultdict(list)
    for _, name, pid, mib, files in history.samples:
        lives[name, pid].append((mib, files))
    for (name, pid), samples in lives.items():
        kind = name.rstrip("0123456789")
        for what, most, values in (
                ("MiB", MOST_MIB[kind], [mib for mib, _ in samples]),
                ("open files", MOST_FILES[kind], [files for _, files in samples])):
            if max(values) > most:
                yield f"{name} ({pid}) had {max(values):.0f} {what}, at most {most} are allowed"
        if len(samples) >= OLD_ENOUGH:
            third = len(samples) // 3
            middle, last = (statistics.median(mib for mib, _ in part)
                            for part in (samples[third:2 * third], samples[2 * third:]))
            if last > middle * GROWTH + GROWTH_MIB:
                yield f"{name} ({pid}) grew from {middle:.0f} to {last:.0f} MiB"


def all_recovers(history):
    for what, lag in history.lags.items():
        if lag != 0:
            yield f"{lag} messages of {what} are left in the end"
    for fault in history.faults:
        if fault.get("recovered") is False:
            yield f"not all was well again after {fault['kind']} {fault['target']}"


RULES = (accepted_is_stored_and_final, every_request_has_one_final_row, nothing_is_open,
         results_are_of_requests, requests_are_of_callers, a_key_is_one_job, rows_are_right,
         documents_are_of_what_was_asked, results_are_right, failures_have_an_excuse,
         final_never_changes, final_stays_final, store_agrees, readers_agree, events_are_in_order,
         statuses_are_of_the_contract, nobody_waits_too_long, processes_end_when_they_are_told,
         nobody_waits_for_who_reads_logs, memory_and_files_are_bounded, all_recovers)
