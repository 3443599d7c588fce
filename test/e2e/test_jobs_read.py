"""Jobs are read, waited for, listed and cancelled.  What is in the job store is written here."""

import base64
import concurrent.futures
import contextlib
import datetime
import hashlib
import hmac
import json
import os
import re
import socket
import struct
import time

import psycopg
import pytest
import requests

from conftest import JOB_SECRET
from harness import Stack, Topic, as_csv, as_json, is_problem, session, wait_until

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
HOUR_MS = 3600 * 1000
COLUMNS = ["user_login", "post_header", "post_author_login", "total_comments"]
ROWS = [["vladimir", "ЖК «Эдельвейс», д. 1", "yanina", 3], ["vladimir", None, None, 2],
        ["vladimir", "=1+1", "natalya", 1]]


def now_ms():
    return time.time_ns() // 1_000_000


def base32(data):
    """Crockford's, lower case, without padding."""
    standard = base64.b32encode(data).decode().rstrip("=")
    return standard.translate(str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", CROCKFORD))


def job_id(age_ms=0, tenant="default", partition=0, secret=JOB_SECRET):
    signed = struct.pack(">Q", now_ms() - age_ms)[2:] + struct.pack(">H", partition)
    signed += os.urandom(8)
    mac = hmac.digest(secret.encode(), tenant.encode() + signed, "sha256")
    return base32(signed + mac[:8])


def foreign_id():
    return "x" + base32(os.urandom(24))[:38]


def created_of(id):
    number = 0
    for letter in id:
        number = number * 32 + CROCKFORD.index(letter)
    return number >> 39 * 5 - 48


def shown_time(ms):
    time = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JobStore:
    def __init__(self, url):
        self.url = url

    def execute(self, text, *values):
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(text, values)

    def add(self, id=None, age_ms=0, **columns):
        """A row; its id."""
        id = id or job_id(age_ms)
        created_ms = now_ms() - age_ms if id[0] == "x" else created_of(id)
        row = {"id": id, "tenant": "default", "created_ms": created_ms, "has_request": True,
               "dataset": "comments", "params": '{"login":"vladimir"}',
               "deadline_ms": created_ms + HOUR_MS, "partition": 0} | columns
        row["day"] = datetime.datetime.fromtimestamp(created_ms / 1000, datetime.UTC).date()
        names = ", ".join(row)
        self.execute(f"INSERT INTO jobs ({names}) VALUES ({', '.join(['%s'] * len(row))})",
                     *row.values())
        return id

    def succeed(self, id, body, n_parts=1, n_rows=1):
        """Ends a job with a body that came in so many messages."""
        day, = self.execute("SELECT day FROM jobs WHERE id = %s", id).fetchone()
        size = -(-len(body) // n_parts)
        for i in range(n_parts):
            self.execute("INSERT INTO results (id, day, run, part, body) VALUES"
                         " (%s, %s, -7, %s, %s)", id, day, i + 1, body[i * size:(i + 1) * size])
        self.execute("UPDATE jobs SET state = 'succeeded', finished_ms = %s, run = -7,"
                     " n_rows = %s, n_bytes = %s, n_parts = %s, sha256 = %s, result_offset = 5,"
                     " attempt = 1, started_ms = created_ms + 1,"
                     " as_of = '{\"db1\":1700000000001}' WHERE id = %s",
                     now_ms(), n_rows, len(body), n_parts, hashlib.sha256(body).digest(), id)

    def end(self, id, state, code):
        error = {"code": code, "title": "A title", "detail": "told by the worker",
                 "retryable": False, "source": "db2"}
        self.execute("UPDATE jobs SET state = %s, finished_ms = %s, error = %s WHERE id = %s",
                     state, now_ms(), json.dumps(error), id)

    def add_succeeded(self, columns=COLUMNS, rows=ROWS, n_parts=1, **row):
        """A job that succeeded; its id and its body."""
        id = self.add(**row)
        body = as_json(columns, rows)
        self.succeed(id, body, n_parts, len(rows))
        return id, body


@pytest.fixture(scope="module")
def store(services):
    return JobStore(services.jobs)


@pytest.fixture(scope="module")
def gateway(services):
    """A gateway alone."""
    with Stack(services, n_workers=0) as stack:
        yield stack


def call(stack, method, path, **options):
    return session().request(method, stack.url + path, timeout=60, **options)


# ---- one job -------------------------------------------------------------------------------------

def test_a_job_that_is_not_recorded_yet_is_queued(gateway):
    id = job_id(age_ms=2000)
    answer = gateway.get(f"/v1/jobs/{id}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    assert document.pop("poll_after_ms") in range(100, 1000)
    assert document == {
        "id": id, "state": "queued", "final": False,
        "created_at": shown_time(created_of(id)),
        "expires_at": shown_time(created_of(id) + 24 * HOUR_MS),
        "links": {"self": f"/v1/jobs/{id}", "result": f"/v1/jobs/{id}/result",
                  "events": f"/v1/jobs/{id}/events", "cancel": f"/v1/jobs/{id}"}}


def test_a_recorded_job_is_told_whole(gateway, store):
    id, body = store.add_succeeded(format="csv", labels='{"team":"a"}')
    document = gateway.get(f"/v1/jobs/{id}").json()
    assert document["dataset"] == "comments" and document["params"] == {"login": "vladimir"}
    assert document["format"] == "csv" and document["labels"] == {"team": "a"}
    assert document["state"] == "succeeded" and document["final"] is True
    assert document["overdue"] is False and document["attempt"] == 1
    assert document["started_at"] == shown_time(created_of(id) + 1)
    assert document["deadline"] == shown_time(created_of(id) + HOUR_MS)
    assert document["poll_after_ms"] == 0 and document["error"] is None
    assert document["as_of"] == {"db1": "2023-11-14T22:13:20.001Z"}
    assert document["result"] == {
        "href": f"/v1/jobs/{id}/result", "rows": 3, "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(), "partition": 0, "offset": 5}


@pytest.mark.parametrize("state, code", [("failed", "source_error"), ("cancelled", "cancelled")])
def test_a_job_without_rows_is_200_and_says_why(gateway, store, state, code):
    id = store.add()
    store.end(id, state, code)
    answer = gateway.get(f"/v1/jobs/{id}")
    assert answer.status_code == 200
    document = answer.json()
    assert document["state"] == state and document["final"] is True
    assert document["result"] is None and document["error"]["code"] == code
    assert document["error"]["detail"] == "told by the worker"


def test_a_job_past_its_deadline_is_overdue(gateway, store):
    id = store.add(age_ms=5000, deadline_ms=now_ms() - 1000)
    assert gateway.get(f"/v1/jobs/{id}").json()["overdue"] is True


@pytest.mark.parametrize("method, ending", [("GET", ""), ("HEAD", ""), ("GET", "/result"),
                                            ("DELETE", "")])
@pytest.mark.parametrize("id", [
    job_id(secret="another-secret-another-secret-another"), job_id(tenant="another"), foreign_id(),
    "0" * 39, "nonsense", job_id().upper(), job_id()[:-1], job_id() + "0", "%00", "%F0%9F%92%A9"])
def test_a_job_that_is_none_of_the_callers_is_404(gateway, method, ending, id):
    answer = call(gateway, method, f"/v1/jobs/{id}{ending}")
    assert answer.status_code == (404 if id != "%00" else 400), answer.text
    if method != "HEAD" and id != "%00":
        assert is_problem(answer, "not_found")["detail"] == "there is no such job"


def test_another_tenants_job_is_404_also_when_it_is_in_the_store(gateway, store):
    ours = job_id()
    for id in (store.add(foreign_id(), tenant="another"), store.add(ours, tenant="another")):
        answer = gateway.get(f"/v1/jobs/{id}/result")
        # Our own id proves itself; that it was recorded for another cannot be.
        assert answer.status_code == (409 if id == ours else 404)


@pytest.mark.parametrize("method, ending", [("GET", ""), ("GET", "/result"), ("DELETE", "")])
def test_a_job_past_its_retention_is_410(gateway, store, method, ending):
    foreign = store.add(foreign_id(), age_ms=24 * HOUR_MS + 1000)
    for id in (job_id(age_ms=24 * HOUR_MS + 1000), foreign):
        is_problem(call(gateway, method, f"/v1/jobs/{id}{ending}"), "expired")


def test_an_id_without_a_row_is_404_once_all_requests_after_it_are_recorded(gateway, store):
    id = job_id(age_ms=120_000)
    store.execute("INSERT INTO progress VALUES ('tally.requests.jobs', 0, 0, 0)"
                  " ON CONFLICT DO NOTHING")

    def seen():
        store.execute("UPDATE progress SET stamp_ms = greatest(stamp_ms, %s)"
                      " WHERE topic = 'tally.requests.jobs'", now_ms())
        return gateway.get(f"/v1/jobs/{id}").status_code == 404

    wait_until(seen, 10, "the id is known to be none")
    is_problem(gateway.get(f"/v1/jobs/{id}/result"), "not_found")
    is_problem(call(gateway, "DELETE", f"/v1/jobs/{id}"), "not_found")
    assert gateway.get(f"/v1/jobs/{job_id()}").status_code == 200


def test_a_foreign_job_is_found_by_its_row(gateway, store):
    id = store.add(foreign_id())
    assert gateway.get(f"/v1/jobs/{id}").json()["state"] == "queued"


# ---- entity tags ---------------------------------------------------------------------------------

def test_whoever_has_the_document_is_not_sent_it_again(gateway, store):
    id = store.add(age_ms=5000)
    path = f"/v1/jobs/{id}"
    tag = gateway.get(path).headers["ETag"]
    for held in (tag, f'"x", {tag}', "*", tag.removeprefix("W/")):
        answer = gateway.get(path, headers={"If-None-Match": held})
        assert answer.status_code == 304 and answer.content == b""
        assert answer.headers["ETag"] == tag
    assert gateway.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
    store.execute("UPDATE jobs SET state = 'running' WHERE id = %s", id)
    answer = gateway.get(path, headers={"If-None-Match": tag})
    assert answer.status_code == 200 and answer.json()["state"] == "running"
    assert answer.headers["ETag"] != tag


def test_the_tag_of_a_final_job_is_strong(gateway, store):
    id, _ = store.add_succeeded()
    first, second = (gateway.get(f"/v1/jobs/{id}") for _ in range(2))
    assert first.headers["ETag"] == second.headers["ETag"] and first.headers["ETag"][0] == '"'
    assert first.content == second.content


def test_head_is_get_without_the_body(gateway, store):
    id, body = store.add_succeeded()
    for path in f"/v1/jobs/{id}", f"/v1/jobs/{id}/result", "/v1/jobs":
        got, answer = gateway.get(path), call(gateway, "HEAD", path)
        assert answer.status_code == 200 and answer.content == b""
        assert answer.headers.get("ETag") == got.headers.get("ETag")
        assert answer.headers["Content-Length"] == got.headers["Content-Length"]


# ---- waiting -------------------------------------------------------------------------------------

def test_a_wait_ends_when_the_job_is_final(gateway, store):
    """Not when it runs, and also when it was not recorded at the beginning."""
    ids = [store.add(age_ms=1000), job_id(age_ms=1000)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        calls = [pool.submit(gateway.get, f"/v1/jobs/{id}", headers={"Prefer": "wait=20"})
                 for id in ids]
        store.add(ids[1])
        store.execute("UPDATE jobs SET state = 'running', started_ms = 1 WHERE id = ANY(%s)", ids)
        done, _ = concurrent.futures.wait(calls, 0.5)
        assert not done
        began = time.monotonic()
        for id in ids:
            store.succeed(id, b"{}")
        for answer in (call.result() for call in calls):
            assert answer.json()["state"] == "succeeded"
            assert answer.headers["Preference-Applied"] == "wait=20"
        assert time.monotonic() - began < 3


def test_a_wait_that_runs_out_tells_what_is_known(gateway, store):
    id = store.add(age_ms=1000)
    path = f"/v1/jobs/{id}"
    tag = gateway.get(path).headers["ETag"]
    for headers, status in ({}, 200), ({"If-None-Match": tag}, 304), ({"If-None-Match": '"x"'}, 200):
        began = time.monotonic()
        answer = gateway.get(path, headers={"Prefer": "wait=1"} | headers)
        assert 1 <= time.monotonic() - began < 4
        assert answer.status_code == status
        assert answer.headers["Preference-Applied"] == "wait=1"
        assert status == 304 or answer.json()["state"] == "queued"


@pytest.mark.parametrize("asked, applied", [("wait=300", "wait=30"), ("wait=0", "wait=0"),
                                            ("respond-async", None), (None, None)])
def test_what_was_done_of_a_preference_is_said(gateway, store, asked, applied):
    id, _ = store.add_succeeded()
    answer = gateway.get(f"/v1/jobs/{id}", headers={"Prefer": asked} if asked else {})
    assert answer.status_code == 200
    assert answer.headers.get("Preference-Applied") == applied


def test_a_thousand_wait_and_all_are_answered(gateway, store):
    ids = [store.add() for _ in range(20)]
    with contextlib.ExitStack() as sockets:
        waiting = []
        for i in range(1000):
            connection = sockets.enter_context(socket.create_connection(("127.0.0.1", gateway.port),
                                                                        timeout=30))
            connection.sendall(f"GET /v1/jobs/{ids[i % 20]} HTTP/1.1\r\nHost: t\r\n"
                               "Prefer: wait=30\r\nConnection: close\r\n\r\n".encode())
            waiting.append(connection)
        leavers, waiting = waiting[:300], waiting[300:]
        for connection in leavers:
            connection.close()
        for id in ids:
            store.succeed(id, b"{}")
        for connection in waiting:
            data = b""
            while piece := connection.recv(65536):
                data += piece
            assert data.startswith(b"HTTP/1.1 200 ") and b'"succeeded"' in data


def test_a_client_that_leaves_ends_its_wait(gateway):
    def gone():
        return float(re.search(r"^tally_http_gone_total (\S+)", gateway.get("/metrics").text,
                               re.M)[1])

    before = gone()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            connection.sendall(f"GET /v1/jobs/{job_id()} HTTP/1.1\r\nHost: t\r\n"
                               "Prefer: wait=30\r\n\r\n".encode())
    wait_until(lambda: gone() >= before + 20, 10, "they have left")
    assert gateway.get("/livez").status_code == 200


# ---- rows ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("n_parts", [1, 3])
def test_rows_are_the_bytes_that_were_stored(gateway, store, n_parts):
    id, body = store.add_succeeded(n_parts=n_parts)
    answer = gateway.get(f"/v1/jobs/{id}/result")
    assert answer.status_code == 200 and answer.content == body
    assert answer.headers["Content-Type"] == "application/json"
    tag = answer.headers["ETag"]
    assert tag == f'"{hashlib.sha256(body).hexdigest()}"'
    answer = gateway.get(f"/v1/jobs/{id}/result", headers={"If-None-Match": tag})
    assert answer.status_code == 304 and answer.content == b""
    assert answer.headers["ETag"] == tag


@pytest.mark.parametrize("own, accept, query, expected", [
    (None, None, "", "json"), ("csv", None, "", "csv"), ("ndjson", "*/*", "", "ndjson"),
    ("csv", "application/json", "", "json"), (None, "text/csv", "", "csv"),
    (None, "application/x-ndjson", "", "ndjson"), (None, "text/html", "?format=csv", "csv"),
    ("csv", None, "?format=json", "json"), (None, "text/html, text/*;q=0.1", "", "csv")])
def test_rows_come_in_the_format_that_is_asked_for(gateway, store, own, accept, query, expected):
    id, body = store.add_succeeded(format=own)
    answer = gateway.get(f"/v1/jobs/{id}/result{query}", headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    lines = [json.dumps(dict(zip(COLUMNS, row)), ensure_ascii=False, separators=(",", ":")) + "\n"
             for row in ROWS]
    contents = {"json": body, "csv": as_csv(COLUMNS, ROWS), "ndjson": "".join(lines).encode()}
    media = {"json": "application/json", "csv": "text/csv; charset=utf-8",
             "ndjson": "application/x-ndjson"}
    assert answer.content == contents[expected]
    assert answer.headers["Content-Type"] == media[expected]
    assert ("Content-Disposition" in answer.headers) == (expected == "csv")


def test_csv_can_be_had_as_it_is(gateway, store):
    id, _ = store.add_succeeded()
    safe = gateway.get(f"/v1/jobs/{id}/result?format=csv")
    bare = gateway.get(f"/v1/jobs/{id}/result?format=csv&csv_safe=0")
    assert b"'=1+1" in safe.content and b",=1+1" in bare.content
    assert safe.headers["ETag"] != bare.headers["ETag"]


def test_a_large_result_is_streamed(gateway, store):
    rows = [["vladimir", f"post {i} " + "x" * 150, "yanina", i] for i in range(50_000)]
    id, body = store.add_succeeded(rows=rows, n_parts=14)
    assert gateway.get(f"/v1/jobs/{id}/result").content == body
    assert gateway.get(f"/v1/jobs/{id}/result?format=csv").content == as_csv(COLUMNS, rows)


def test_rows_that_nobody_accepts_are_406(gateway, store):
    for id in (store.add_succeeded()[0], store.add()):
        is_problem(gateway.get(f"/v1/jobs/{id}/result", headers={"Accept": "image/png"}),
                   "not_acceptable")


@pytest.mark.parametrize("query, name", [("format=xml", "format"), ("csv_safe=2", "csv_safe"),
                                         ("login=a", "login")])
def test_a_wrong_query_of_a_result_is_422(gateway, store, query, name):
    id, _ = store.add_succeeded()
    answer = gateway.get(f"/v1/jobs/{id}/result?{query}")
    assert answer.status_code == 422
    errors = is_problem(answer, "invalid_parameter")["errors"]
    assert [error["name"] for error in errors] == [name]


def test_rows_that_are_not_there_yet_are_409(gateway, store):
    running = store.add(state="running")
    for id, state in (job_id(), "queued"), (store.add(), "queued"), (running, "running"):
        answer = gateway.get(f"/v1/jobs/{id}/result")
        assert answer.status_code == 409
        assert state in is_problem(answer, "result_not_ready")["detail"]
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("code, status", [
    ("source_error", 500), ("unsupported_value", 500), ("poisoned", 500),
    ("result_too_large", 500), ("source_unavailable", 503), ("dataset_mismatch", 503),
    ("deadline_exceeded", 504)])
def test_the_result_of_a_failed_job_is_its_error(gateway, store, code, status):
    id = store.add()
    store.end(id, "failed", code)
    answer = gateway.get(f"/v1/jobs/{id}/result")
    assert answer.status_code == status
    document = is_problem(answer, code)
    assert document["detail"] == "told by the worker" and document["source"] == "db2"


def test_the_result_of_a_cancelled_job_is_409(gateway, store):
    id = store.add()
    store.end(id, "cancelled", "cancelled")
    answer = gateway.get(f"/v1/jobs/{id}/result")
    assert answer.status_code == 409
    is_problem(answer, "cancelled")


def test_a_result_whose_body_is_gone_is_410(gateway, store):
    id, _ = store.add_succeeded()
    store.execute("DELETE FROM results WHERE id = %s", id)
    is_problem(gateway.get(f"/v1/jobs/{id}/result"), "expired")


def test_rows_of_a_dataset_that_is_not_here_can_be_had_as_json(gateway, store):
    unknown = store.add_succeeded(dataset="of-another-gateway")
    changed = store.add_succeeded(columns=["user_login", "other"], rows=[["vladimir", 1]])
    for id, body in unknown, changed:
        assert gateway.get(f"/v1/jobs/{id}/result").content == body
        answer = gateway.get(f"/v1/jobs/{id}/result?format=csv")
        assert answer.status_code == 503
        is_problem(answer, "dataset_mismatch")


def test_past_the_memory_for_results_callers_are_sent_away(start_stack, store):
    stack = start_stack(n_workers=0, gateway={"TALLY_RESULTS_BYTES": 1024 * 1024})
    large, _ = store.add_succeeded(rows=[["x" * 1000, None, None, i] for i in range(1100)])
    small, body = store.add_succeeded()
    for _ in range(3):
        answer = stack.get(f"/v1/jobs/{large}/result")
        assert answer.status_code == 503
        is_problem(answer, "saturated")
        for _ in range(20):
            assert stack.get(f"/v1/jobs/{small}/result").content == body
    middle, body = store.add_succeeded(rows=[["x" * 1000, None, None, i] for i in range(600)])
    for query in "", "?format=csv", "?format=json", "":
        answer = stack.get(f"/v1/jobs/{middle}/result{query}")
        assert answer.status_code == 200, "what was taken is given back"


# ---- cancelling ----------------------------------------------------------------------------------

def test_a_final_job_is_not_cancelled(gateway, store, services):
    ids = [store.add_succeeded()[0], store.add(), store.add()]
    store.end(ids[1], "failed", "source_error")
    store.end(ids[2], "cancelled", "cancelled")
    with Topic(services.kafka, "tally.results") as results:
        for id, state in zip(ids, ("succeeded", "failed", "cancelled"), strict=True):
            answer = call(gateway, "DELETE", f"/v1/jobs/{id}")
            assert answer.status_code == 200
            assert answer.json()["state"] == state
        assert results.added() == 0


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_job_is_cancelled(gateway, store, services, is_recorded):
    id = store.add(job_id(partition=3)) if is_recorded else job_id(partition=3)
    with Topic(services.kafka, "tally.results") as results, \
            Topic(services.kafka, "tally.control") as control:
        answer = call(gateway, "DELETE", f"/v1/jobs/{id}")
        assert answer.status_code == 202, answer.text
        result = next(results.messages(20, lambda: "a cancelled result"))
        assert result.key().decode() == id and result.partition() == 3
        assert json.loads(result.value())["code"] == "cancelled"
        assert next(control.messages(20, lambda: "word to the workers")).key().decode() == id
    document = gateway.get(f"/v1/jobs/{id}", headers={"Prefer": "wait=20"}).json()
    assert document["state"] == "cancelled" and document["final"] is True
    assert document["error"]["code"] == "cancelled"
    assert call(gateway, "DELETE", f"/v1/jobs/{id}").status_code == 200


# ---- the list ------------------------------------------------------------------------------------

def pages(stack, path):
    """All jobs of a list, and how many pages they came on."""
    ids, n = [], 0
    while path:
        answer = stack.get(path)
        assert answer.status_code == 200, answer.text
        ids += [job["id"] for job in answer.json()["jobs"]]
        path = answer.links["next"]["url"] if answer.links else None
        n += 1
    return ids, n


def test_the_list_has_all_jobs_newest_first_in_pages(gateway, store):
    store.execute("DELETE FROM jobs")
    ids = [store.add(age_ms=i * 1000) for i in range(23)]
    same = now_ms() - 30_000
    for _ in range(5):  # of one moment: by id
        id = store.add(foreign_id(), age_ms=0)
        store.execute("UPDATE jobs SET created_ms = %s, day = %s WHERE id = %s", same,
                      datetime.datetime.fromtimestamp(same / 1000, datetime.UTC).date(), id)
    rows = store.execute("SELECT id FROM jobs ORDER BY created_ms DESC, id DESC").fetchall()
    expected = [id for id, in rows]
    store.add(foreign_id(), tenant="another")
    assert expected[:23] == ids
    assert pages(gateway, "/v1/jobs") == (expected, 1)
    for limit, n_pages in (1, 29), (5, 6), (7, 5), (200, 1):
        assert pages(gateway, f"/v1/jobs?limit={limit}") == (expected, n_pages)


def test_the_list_can_be_of_one_state_or_dataset(gateway, store):
    store.execute("DELETE FROM jobs")
    queued = [store.add(age_ms=i * 1000) for i in range(4)]
    running = store.add(age_ms=5000, state="running")
    other = store.add(age_ms=6000, dataset="top-posts")
    assert pages(gateway, "/v1/jobs?state=running")[0] == [running]
    assert pages(gateway, "/v1/jobs?state=queued&limit=2")[0] == queued + [other]
    assert pages(gateway, "/v1/jobs?dataset=top-posts")[0] == [other]
    assert pages(gateway, "/v1/jobs?dataset=comments&state=queued&limit=1")[0] == queued
    assert pages(gateway, "/v1/jobs?dataset=none") == ([], 1)


def test_a_page_of_long_documents_is_cut(gateway, store):
    store.execute("DELETE FROM jobs")
    labels = json.dumps({"note": "x" * 60_000})
    ids = [store.add(age_ms=i * 1000, labels=labels) for i in range(40)]
    found, n_pages = pages(gateway, "/v1/jobs?limit=200")
    assert found == ids and n_pages > 1


@pytest.mark.parametrize("query, names", [
    ("state=done", ["state"]), ("state=", ["state"]), ("limit=0", ["limit"]),
    ("limit=201", ["limit"]), ("limit=-1", ["limit"]), ("limit=1e2", ["limit"]),
    ("limit=99999999999999999999", ["limit"]), ("limit=", ["limit"]), ("cursor=x", ["cursor"]),
    ("cursor=" + "0" * 51, ["cursor"]), ("dataset=", ["dataset"]),
    ("dataset=%3E%3B", ["dataset"]), ("dataset=" + "a" * 65, ["dataset"]),
    ("order=asc", ["order"]), ("state=x&limit=x&cursor=x", ["cursor", "limit", "state"])])
def test_a_wrong_query_of_the_list_is_422(gateway, query, names):
    answer = gateway.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    errors = is_problem(answer, "invalid_parameter")["errors"]
    assert sorted(error["name"] for error in errors) == names


# ---- without the job store -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def storeless(services):
    """A gateway whose job store does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/jobs"
        with Stack(services, n_workers=0,
                   gateway={"TALLY_JOBS": url, "TALLY_JOBS_TIMEOUT_MS": 500}) as stack:
            yield stack


@pytest.mark.parametrize("method, path", [
    ("GET", "/v1/jobs/{}"), ("GET", "/v1/jobs/{}/result"), ("DELETE", "/v1/jobs/{}"),
    ("GET", "/v1/jobs")])
def test_a_job_store_that_is_away_is_503_and_never_404(storeless, method, path):
    for id in job_id(), job_id(age_ms=3 * HOUR_MS), foreign_id():
        answer = call(storeless, method, path.format(id))
        assert answer.status_code == 503, answer.text
        is_problem(answer, "job_store_unavailable")


def test_without_the_job_store_an_id_still_proves_itself(storeless):
    forged = job_id(secret="another-secret-another-secret-another")
    is_problem(storeless.get(f"/v1/jobs/{forged}"), "not_found")
    is_problem(storeless.get(f"/v1/jobs/{job_id(age_ms=25 * HOUR_MS)}"), "expired")


def test_a_gateway_without_jobs_says_which_settings_are_missing(start_stack):
    stack = start_stack(n_workers=0, gateway={"TALLY_JOBS": "", "TALLY_JOB_SECRET": ""})
    for method, path in ("GET", "/v1/jobs"), ("GET", f"/v1/jobs/{job_id()}"), \
            ("GET", f"/v1/jobs/{job_id()}/result"), ("DELETE", f"/v1/jobs/{job_id()}"):
        answer = requests.request(method, stack.url + path, timeout=40)
        assert answer.status_code == 404
        detail = is_problem(answer, "not_found")["detail"]
        assert "TALLY_JOBS" in detail and "TALLY_JOB_SECRET" in detail
