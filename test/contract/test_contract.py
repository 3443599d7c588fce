"""The contract of version 1, implemented a second time and from its text alone.

The vectors beside this file say what is valid and what comes of it; test/unit/contract.c holds the
C library to the same files.  Standard library only:

    python3 -m pytest test/contract
    python3 test/contract/test_contract.py        # without pytest
"""

import hashlib
import hmac
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
STATES = ("succeeded", "failed", "cancelled")
TYPES = {"absent": 0, "text": 1, "int": 2, "float": 3, "bool": 4, "date": 5, "timestamp": 6,
         "timestamptz": 7, "uuid": 8, "decimal": 9}
CODES = """bad_request unauthorized forbidden not_found unknown_dataset method_not_allowed
    not_acceptable result_not_ready expired body_too_large uri_too_long unsupported_media_type
    invalid_parameter idempotency_key_reused rate_limited headers_too_large unsupported_value
    source_error poisoned result_too_large source_unavailable dataset_mismatch kafka_unavailable
    saturated outcome_unknown job_store_unavailable deadline_exceeded cancelled
    internal_error""".split()


class Refused(Exception):
    """What is read is not valid."""


def check(condition):
    if not condition:
        raise Refused


# ---- job ids -------------------------------------------------------------------------------------

def base32(data, n_chars):
    """The first n_chars characters of data, five bits each, zero bits behind its end."""
    bits = "".join(f"{byte:08b}" for byte in data) + "0000"
    return "".join(ALPHABET[int(bits[i * 5:i * 5 + 5], 2)] for i in range(n_chars))


def mac(secret, tenant, head):
    return hmac.new(secret, tenant.encode() + head, hashlib.sha256).digest()[:8]


def make_job_id(secret, tenant, created_ms, partition, random):
    head = created_ms.to_bytes(6, "big") + partition.to_bytes(2, "big") + random
    return base32(head + mac(secret, tenant, head), 39)


def foreign_job_id(tenant, ce_source, ce_id):
    digest = hashlib.sha256(b"\0".join(t.encode() for t in (tenant, ce_source, ce_id))).digest()
    return "x" + base32(digest, 38)


def parse_job_id(text):
    """The 24 bytes of an id, or None of a foreign one."""
    check(len(text) == 39 and all(c in ALPHABET for c in text))
    if text[0] == "x":
        return None
    number = int("".join(f"{ALPHABET.index(c):05b}" for c in text), 2)
    check(number % 8 == 0)
    return (number >> 3).to_bytes(24, "big")


def is_genuine(text, secrets, tenant):
    data = parse_job_id(text)
    return data is not None and any(mac(s, tenant, data[:16]) == data[16:] for s in secrets)


# ---- fingerprints --------------------------------------------------------------------------------

def fingerprint(tenant, dataset, params):
    def sized(text):
        data = text.encode()
        return len(data).to_bytes(2, "big") + data

    content = sized(tenant) + sized(dataset)
    for name, kind, value in sorted(params, key=lambda p: p[0].encode()):
        data = b"" if kind == "absent" else value.encode()
        content += sized(name) + bytes([TYPES[kind]]) + len(data).to_bytes(4, "big") + data
    return hashlib.sha256(content).hexdigest()[:32]


# ---- requests ------------------------------------------------------------------------------------

def unique(pairs):
    members = dict(pairs)
    check(len(members) == len(pairs))
    return members


def is_text(text):
    """Without NUL and without halves of surrogate pairs."""
    try:
        return "\0" not in text and text.encode() is not None
    except UnicodeEncodeError:
        return False


def refuse_constant(_):
    raise Refused  # NaN and Infinity are Python's, not JSON's


def depth_of(data):
    depth = deepest = 0
    for token in re.findall(rb'"(?:[^"\\]|\\.)*"|[][{}]', data, re.S):
        depth += (token in b"[{") - (token in b"]}") if len(token) == 1 else 0
        deepest = max(deepest, depth)
    return deepest


def load(data):
    check(len(data) <= 64 * 1024 and depth_of(data) <= 8)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique,
                          parse_constant=refuse_constant)
    except ValueError:
        raise Refused from None


def read_value(value):
    """A parameter as (kind, value)."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int):
        check(-2 ** 63 <= value < 2 ** 63)
        return "int", value
    if isinstance(value, float):
        check(abs(value) != float("inf"))
        return "real", value
    check(isinstance(value, str) and is_text(value))
    return "string", value


def read_labels(labels):
    check(isinstance(labels, dict) and len(labels) <= 16)
    for name, value in labels.items():
        check(is_text(name) and 1 <= len(name.encode()) <= 64)
        check(isinstance(value, str) and is_text(value) and len(value.encode()) <= 256)
    return labels


def read_request(data):
    document = load(data)
    check(isinstance(document, dict) and set(document) <= {"dataset", "params", "format", "labels"})
    dataset, params = document.get("dataset"), document.get("params", {})
    check(isinstance(dataset, str) and dataset and is_text(dataset))
    check(isinstance(params, dict) and len(params) <= 64 and all(is_text(name) for name in params))
    labels, form = document.get("labels", {}), document.get("format", "")
    check(isinstance(form, str) and is_text(form))
    return {"dataset": dataset, "params": {n: list(read_value(v)) for n, v in params.items()},
            "format": form, "labels": read_labels(labels)}


# ---- headers -------------------------------------------------------------------------------------

def number(text, least, most):
    check(re.fullmatch("[0-9]{1,18}", text) and least <= int(text) <= most)
    return int(text)


def hexadecimal(text, n):
    check(re.fullmatch(f"[0-9a-f]{{{n}}}", text))
    return text


def trace(text):
    match = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", text)
    check(match and int(match[1], 16) and int(match[2], 16))
    return text


def tenant(text):
    check(re.fullmatch("[A-Za-z0-9_.-]{1,64}", text))
    return text


def one_of(text, values):
    check(text in values)
    return text


def timing(text):
    check(re.fullmatch("[ -~]{0,255}", text))
    return text


SYNC_REQUEST = {
    "tally-id": (lambda text: hexadecimal(text, 32), True),
    "tally-reply-partition": (lambda text: number(text, 0, 65535), True),
    "tally-budget-ms": (lambda text: number(text, 1, 12 * 3600 * 1000), True),
    "tally-tenant": (tenant, True),
    "tally-no-cache": (lambda text: one_of(text, ["1"]), False),
    "traceparent": (trace, False),
}
SYNC_REPLY = {
    "tally-state": (lambda text: one_of(text, STATES), True),
    "tally-run": (lambda text: hexadecimal(text, 16), True),
    "tally-error-code": (lambda text: one_of(text, CODES), False),
    "tally-timing": (timing, False),
}


def read_headers(rules, headers):
    fields = {}
    for name, value in headers:
        if name in rules:
            check(name not in fields and value is not None)
            fields[name] = rules[name][0](value)
    check(all(name in fields for name, rule in rules.items() if rule[1]))
    return fields


def read_sync_request(headers):
    return read_headers(SYNC_REQUEST, headers)


def read_sync_reply(key, headers):
    hexadecimal(key or "", 32)
    fields = read_headers(SYNC_REPLY, headers)
    as_of = {}
    for name, value in headers:
        if not name.startswith("tally-as-of-"):
            continue
        source = name.removeprefix("tally-as-of-")
        check(1 <= len(source) <= 31 and source not in as_of and len(as_of) < 16)
        as_of[source] = number(value or "", 0, 10 ** 18)
    check((fields["tally-state"] == "failed") == ("tally-error-code" in fields))
    return {**fields, "as_of": as_of}


# ---- the vectors ---------------------------------------------------------------------------------

def vectors(name):
    with open(HERE / name, encoding="utf-8") as file:
        return json.load(file)


def outcome(function, *arguments):
    """What a function makes of its arguments; None when it refuses them."""
    try:
        return function(*arguments)
    except Refused:
        return None


def bytes_of(case):
    """The message of a case: text, bytes in hexadecimal, or text between repeated parts."""
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "repeat" in case:
        head, part, times, tail = case["repeat"]
        return (head + part * times + tail).encode()
    return case["text"].encode()


def test_job_ids_are_made_and_proved():
    for case in vectors("ids.json")["made"]:
        secret = bytes.fromhex(case["secret"])
        made = make_job_id(secret, case["tenant"], case["created_ms"], case["partition"],
                           bytes.fromhex(case["random"]))
        assert made == case["id"], case
        assert is_genuine(made, [b"another", secret], case["tenant"]), case
        assert not is_genuine(made, [secret], case["tenant"] + "2"), case
        assert not is_genuine(made, [b"another"], case["tenant"]), case


def test_ids_of_foreign_jobs():
    for case in vectors("ids.json")["foreign"]:
        made = foreign_job_id(case["tenant"], case["ce_source"], case["ce_id"])
        assert made == case["id"], case
        assert parse_job_id(made) is None


def test_job_ids_that_are_none():
    for case in vectors("ids.json")["invalid"]:
        assert outcome(lambda text: (parse_job_id(text),), case["text"]) is None, case


def test_fingerprints():
    for case in vectors("fingerprints.json")["valid"]:
        made = fingerprint(case["tenant"], case["dataset"], case["params"])
        assert made == case["fingerprint"], case


def test_fingerprints_differ_when_requests_do():
    made = [case["fingerprint"] for case in vectors("fingerprints.json")["valid"]]
    assert len(set(made)) == len(made)


def test_requests():
    for case in vectors("requests.json")["messages"]:
        made = outcome(read_request, bytes_of(case))
        if "valid" in case:
            assert (made is not None) == case["valid"], case["why"]
        else:
            assert made == case["expect"], case["why"]


def test_headers_of_sync_requests():
    for case in vectors("requests.json")["headers"]:
        assert outcome(read_sync_request, case["headers"]) == case["expect"], case["why"]


def test_sync_replies():
    for case in vectors("replies.json")["replies"]:
        made = outcome(read_sync_reply, case["key"], case["headers"])
        assert made == case["expect"], case["why"]


def test_error_documents():
    for case in vectors("replies.json")["errors"]:
        document = outcome(load, bytes_of(case))
        is_error = isinstance(document, dict) and document.get("code") in CODES
        assert (document["code"] if is_error else None) == case["expect"], case["why"]


if __name__ == "__main__":
    for name, function in sorted(globals().copy().items()):
        if name.startswith("test_"):
            function()
            print("ok", name, file=sys.stderr)
