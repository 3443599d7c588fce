"""The job lane of version 1, implemented a second time: the headers of requests, results and
control messages, and what a foreign producer's request becomes.

The vectors are job-requests.json, job-results.json and control.json.  A case is the base of its
kind with the headers of "set" put in (null takes one away) and those of "add" behind; a value is
text, {"hex": ...} or {"repeat": [text, times]}.  "expect" is what a reader makes of it; without it,
"wrong" is the header that it refuses.
"""

import datetime
import re
import sys

from test_contract import CODES, Refused, STATES, foreign_job_id, parse_job_id, vectors

DEADLINE_MS, DEADLINE_MAX_MS = 3600 * 1000, 12 * 3600 * 1000
LAST_MS = 253402300799999  # the year 9999
PARTS_MAX = 65536


def need(condition, header):
    if not condition:
        raise Refused(header)


# ---- fields --------------------------------------------------------------------------------------

def number(least, most):
    return lambda value: (re.fullmatch(rb"[0-9]{1,18}", value) and least <= int(value) <= most
                          and int(value))


def word(pattern):
    return lambda value: re.fullmatch(pattern.encode(), value) and value.decode()


def text(most):
    def read(value):
        try:
            decoded = value.decode()
        except UnicodeDecodeError:
            return None
        is_plain = all(c >= " " and c != "\x7f" for c in decoded)
        return decoded if 1 <= len(value) <= most and is_plain else None
    return read


def one_of(*values):
    return lambda value: value.decode("latin-1") if value.decode("latin-1") in values else None


def trace(value):
    match = re.fullmatch(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", value)
    return value.decode() if match and int(match[1], 16) and int(match[2], 16) else None


def time(value):
    """Unix milliseconds of an RFC 3339 time."""
    match = re.fullmatch(rb"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d):(\d\d)(?:\.(\d+))?"
                         rb"(?:[Zz]|([+-])(\d\d):(\d\d))", value)
    if not match or int(match[3]) > 60:
        return None
    try:
        minute = datetime.datetime.strptime((match[1] + b" " + match[2]).decode(), "%Y-%m-%d %H:%M")
    except ValueError:
        return None
    seconds = (minute - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)
    if match[5]:
        if int(match[6]) > 23 or int(match[7]) > 59:
            return None
        offset = int(match[6]) * 3600 + int(match[7]) * 60
        seconds -= offset if match[5] == b"+" else -offset
    return (seconds + int(match[3])) * 1000 + int((match[4] or b"0")[:3].ljust(3, b"0"))


TENANT = word("[A-Za-z0-9_.-]{1,64}")
RUN, SHA256 = word("[0-9a-f]{16}"), word("[0-9a-f]{64}")
ANY = bytes
EVENT = {
    "ce_specversion": (one_of("1.0"), True),
    "ce_type": (ANY, True),
    "ce_subject": (ANY, True),
    "ce_time": (time, True),
    "content-type": (lambda v: re.match(rb"(?i)application/json([; ]|$)", v) and v, False),
    "traceparent": (trace, False),
}
REQUEST = {
    **EVENT,
    "ce_id": (text(64), True),
    "ce_source": (text(256), True),
    "ce_subject": (ANY, False),
    "ce_time": (time, False),
    "tally-reply-partition": (number(0, 65535), False),
    "tally-deadline-ms": (number(1, LAST_MS), False),
    "tally-budget-ms": (number(1, DEADLINE_MAX_MS), False),
    "tally-tenant": (TENANT, False),
    "tally-no-cache": (one_of("1"), False),
    "tally-idempotency-key": (word("[ -~]{1,64}"), False),
    "tally-body-hash": (SHA256, False),
}
RESULT = {
    **EVENT,
    "ce_id": (ANY, True),
    "ce_source": (ANY, True),
    "tally-tenant": (TENANT, True),
    "tally-dataset": (text(64), False),
    "tally-dataset-hash": (RUN, False),
    "tally-state": (one_of(*STATES), True),
    "tally-run": (RUN, True),
    "tally-attempt": (number(0, 2 ** 32 - 1), True),
    "tally-error-code": (one_of(*CODES), False),
    "tally-part": (number(1, PARTS_MAX), False),
    "tally-parts": (number(1, PARTS_MAX), False),
    "tally-rows": (number(0, 10 ** 18), False),
    "tally-sha256": (SHA256, False),
    "tally-created-ms": (number(1, LAST_MS), True),
    "tally-started-ms": (number(1, LAST_MS), False),
    "tally-deadline-ms": (number(1, LAST_MS), True),
    "tally-timing": (word("[ -~]{0,255}"), False),
}
CONTROL = {
    **EVENT,
    "ce_id": (ANY, True),
    "ce_source": (ANY, True),
    "tally-tenant": (TENANT, True),
    "tally-created-ms": (number(1, LAST_MS), True),
    "tally-deadline-ms": (number(1, LAST_MS), True),
    "tally-run": (RUN, False),
    "tally-attempt": (number(0, 2 ** 32 - 1), False),
}
del CONTROL["traceparent"]


def read_headers(rules, headers):
    fields = {}
    for name, value in headers:
        if name not in rules:
            continue
        need(name not in fields and value is not None, name)
        read = rules[name][0](value)
        need(read is not None and read is not False, name)
        fields[name] = read
    for name, rule in rules.items():
        need(name in fields or not rule[1], name)
    return fields


def read_as_of(headers):
    as_of = {}
    for name, value in headers:
        if not name.startswith("tally-as-of-"):
            continue
        source, at = name.removeprefix("tally-as-of-"), number(0, 10 ** 18)(value or b"")
        need(1 <= len(source) <= 31 and source not in as_of and len(as_of) < 16
             and at is not None, "tally-as-of-")
        as_of[source] = at
    return as_of


def read_id(value):
    """The bytes of an id; None of a foreign one; False when it is none."""
    try:
        return parse_job_id((value or b"").decode("latin-1"))
    except Refused:
        return False


# ---- requests ------------------------------------------------------------------------------------

def murmur2(data):
    """As Kafka's clients hash keys; public domain, by Austin Appleby."""
    m, mask = 0x5bd1e995, 0xffffffff
    h = 0x9747b28c ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def foreign_partition(ce_source, ce_id, n_partitions):
    return (murmur2(ce_source.encode() + b"\0" + ce_id.encode()) & 0x7fffffff) % n_partitions


def finish_ours(fields, request):
    for name in ("ce_subject", "ce_time", "tally-reply-partition", "tally-deadline-ms",
                 "tally-budget-ms", "tally-tenant"):
        need(name in fields, name)
    data = read_id(fields["ce_id"].encode())
    need(data, "ce_id")
    need(fields["ce_subject"] == fields["ce_id"].encode(), "ce_subject")
    need(int.from_bytes(data[6:8], "big") == request["partition"], "tally-reply-partition")
    created = int.from_bytes(data[:6], "big")
    need(created == fields["ce_time"], "ce_time")
    return {**request, "id": fields["ce_id"], "created_ms": created}


def finish_foreign(request, context):
    stamp, n_partitions = context["stamp_ms"], context["partitions"]
    made = {**request, "created_ms": stamp, "key": "", "body_hash": "0" * 64}
    made["tenant"] = request["tenant"] or "default"
    made["id"] = foreign_job_id(made["tenant"], request["event_source"], request["event_id"])
    if request["partition"] is None:
        made["partition"] = foreign_partition(request["event_source"], request["event_id"],
                                              n_partitions)
    made["deadline_ms"] = request["deadline_ms"] or stamp + (request["budget_ms"] or DEADLINE_MS)
    made["budget_ms"] = request["budget_ms"] or max(1, made["deadline_ms"] - stamp)
    return made


def read_request(context, headers):
    fields = read_headers(REQUEST, headers)
    need(fields["ce_type"] == b"tally.request.v1", "ce_type")
    need(("tally-body-hash" in fields) == ("tally-idempotency-key" in fields), "tally-body-hash")
    request = {
        "is_foreign": fields["ce_source"] != "tally", "event_source": fields["ce_source"],
        "event_id": fields["ce_id"], "partition": fields.get("tally-reply-partition"),
        "deadline_ms": fields.get("tally-deadline-ms", 0),
        "budget_ms": fields.get("tally-budget-ms", 0), "tenant": fields.get("tally-tenant", ""),
        "no_cache": "tally-no-cache" in fields, "key": fields.get("tally-idempotency-key", ""),
        "body_hash": fields.get("tally-body-hash", "0" * 64),
        "trace": fields.get("traceparent", ""),
    }
    if request["is_foreign"]:
        request = finish_foreign(request, context)
    else:
        request = finish_ours(fields, request)
    need(request["partition"] < context["partitions"], "tally-reply-partition")
    need(request["deadline_ms"] - request["created_ms"] <= DEADLINE_MAX_MS, "tally-deadline-ms")
    return request


# ---- results and control messages ----------------------------------------------------------------

def check_event(fields, key, event_id):
    need(fields["ce_source"] == b"tally", "ce_source")
    need(fields["ce_subject"] == key, "ce_subject")
    need(fields["ce_id"] == event_id.encode(), "ce_id")
    data = read_id(key)
    need(data is None or int.from_bytes(data[:6], "big") == fields["tally-created-ms"],
         "tally-created-ms")


def check_result(fields):
    state, code = fields["tally-state"], fields.get("tally-error-code")
    need((state == "succeeded") == (code is None) and (state == "cancelled") == (code == "cancelled"),
         "tally-error-code")
    part, parts = fields.get("tally-part"), fields.get("tally-parts")
    need(part is None or state == "succeeded", "tally-part")
    need(parts is None or part == parts, "tally-parts")
    is_whole = state == "succeeded" and part == parts
    need(("tally-rows" in fields) == ("tally-sha256" in fields), "tally-rows")
    need(("tally-sha256" in fields) == is_whole, "tally-sha256")


def read_result(key, headers):
    need(read_id(key) is not False, "key")
    fields = read_headers(RESULT, headers)
    as_of = read_as_of(headers)
    need(fields["ce_type"] == b"tally.result.v1", "ce_type")
    check_result(fields)
    part = fields.get("tally-part")
    suffix = "" if part is None else f"/{part}"
    check_event(fields, key, f"{key.decode()}/{fields['tally-run']}{suffix}")
    return {name: fields[name] for name in fields if name.startswith("tally-")} | {"as_of": as_of}


def read_control(key, headers):
    need(read_id(key) is not False, "key")
    fields = read_headers(CONTROL, headers)
    kind = {b"tally.cancel.v1": "cancel", b"tally.started.v1": "started"}.get(fields["ce_type"])
    need(kind, "ce_type")
    need(kind == "cancel" or "tally-run" in fields, "tally-run")
    run = f"/{fields['tally-run']}" if kind == "started" else ""
    check_event(fields, key, f"{key.decode()}{run}/{kind}")
    is_started = kind == "started"
    return {"kind": kind, "tenant": fields["tally-tenant"], "at_ms": fields["ce_time"],
            "created_ms": fields["tally-created-ms"], "deadline_ms": fields["tally-deadline-ms"],
            "run": fields["tally-run"] if is_started else "0" * 16,
            "attempt": fields.get("tally-attempt", 0) if is_started else 0}


# ---- the vectors ---------------------------------------------------------------------------------

def bytes_of(value):
    if value is None or isinstance(value, str):
        return None if value is None else value.encode()
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return (value["repeat"][0] * value["repeat"][1]).encode()


def headers_of(document, case):
    headers = {**document["bases"][case["base"]], **case.get("set", {})}
    listed = [(name, bytes_of(value)) for name, value in headers.items() if value is not None]
    return listed + [(name, bytes_of(value)) for name, value in case.get("add", [])]


def outcome(function, *arguments):
    try:
        return function(*arguments), None
    except Refused as refused:
        return None, refused.args[0]


def check_case(case, made):
    read, wrong = made
    assert wrong == case.get("wrong"), (case["why"], wrong)
    if wrong is None:
        assert read == case["expect"], case["why"]


def test_job_requests():
    document = vectors("job-requests.json")
    for case in document["cases"]:
        context = {**document["context"], **case.get("context", {})}
        check_case(case, outcome(read_request, context, headers_of(document, case)))


def test_job_results():
    document = vectors("job-results.json")
    for case in document["cases"]:
        key = bytes_of(case.get("key", document["key"]))
        check_case(case, outcome(read_result, key, headers_of(document, case)))


def test_control_messages():
    document = vectors("control.json")
    for case in document["cases"]:
        key = bytes_of(case.get("key", document["key"]))
        check_case(case, outcome(read_control, key, headers_of(document, case)))


def test_murmur2_is_that_of_kafka():
    # The cases of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
    for data, hashed in ((b"21", -973932308), (b"foobar", -790332482),
                         (b"a-little-bit-long-string", -985981536),
                         (b"a-little-bit-longer-string", -1486304829),
                         (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
                         (b"abc", 479470107)):
        assert murmur2(data) == hashed & 0xffffffff, data


if __name__ == "__main__":
    for name, function in sorted(globals().copy().items()):
        if name.startswith("test_"):
            function()
            print("ok", name, file=sys.stderr)
