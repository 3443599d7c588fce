"""The command line for jobs: what it asks a gateway for, what it prints, how it exits.

The gateway here is a stand-in that answers what a test says; topics are real."""

import contextlib
import http.server
import json
import os
import pty
import re
import subprocess
import threading
import urllib.parse
import uuid

import confluent_kafka
import pytest

from harness import BIN, ROOT, environment, run
from jobs import Api

ID = "06abcdefghjkmnpqrstvwxyz0123456789abcde"


def job(state="succeeded", **more):
    return {"id": ID, "state": state, "final": state not in ("queued", "running"),
            "created_at": "2025-06-29T10:00:00.000Z", "expires_at": "2025-06-30T10:00:00.000Z",
            "poll_after_ms": 0, "links": {"self": f"/v1/jobs/{ID}"}} | more


DONE = job(dataset="comments", result={"href": "/", "rows": 2, "bytes": 99, "partition": 0,
                                       "offset": 1}, error=None)
FAILED = job("failed", dataset="comments", result=None,
             error={"code": "source_error", "title": "A", "detail": "no table", "retryable": False})


def problem(status, code, **more):
    return status, {"type": "about:blank", "title": "Title", "status": status, "detail": "Detail",
                    "code": code, "retryable": False} | more


class Gateway:
    """Answers with what answer(method, path, query, headers, body) returns: a status, a body (JSON,
    or bytes), and perhaps headers."""

    def __init__(self):
        gateway = self
        self.calls = []
        self.lock = threading.Lock()
        self.answer = None

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                call = (self.command, path, dict(urllib.parse.parse_qsl(query)),
                        dict(self.headers), body)
                with gateway.lock:
                    gateway.calls.append(call)
                status, content, *headers = gateway.answer(*call)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                for name, value in dict(*headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def gateway():
    gateway = Gateway()
    yield gateway
    gateway.stop()


@pytest.fixture
def tally(gateway):
    def call(*arguments, **settings):
        return run(*arguments, "--url", gateway.url, settings=settings)
    return call


# ---- submit --------------------------------------------------------------------------------------

DATASET = {"name": "many", "params": {"type": "object", "properties": {
    "login": {"type": "string"}, "n": {"type": "integer"}, "x": {"type": "number"},
    "all": {"type": "boolean"}, "amount": {"type": "string"}}}}


def answer_submit(method, path, _query, _headers, _body):
    if path.startswith("/v1/datasets/"):
        return (200, DATASET) if path.endswith("/many") else problem(404, "unknown_dataset")
    return 202, job("queued"), {"Location": f"/v1/jobs/{ID}", "Retry-After": "1"}


def test_submit_sends_parameters_with_the_types_of_the_dataset(tally, gateway):
    gateway.answer = answer_submit
    result = tally("submit", "many", "login=ЖК=1", "n=12", "x=1e3", "all=true", "amount=1.10",
                   "--format", "csv", "--timeout", "90", "--label", "a=1", "--label=b=x=y",
                   "--key", "one", TALLY_API_KEY="secret")
    assert result.returncode == 0, result
    assert result.stdout == ID + "\n"
    method, path, _, headers, body = gateway.calls[-1]
    assert (method, path) == ("POST", "/v1/jobs")
    assert json.loads(body) == {
        "dataset": "many", "params": {"login": "ЖК=1", "n": 12, "x": 1000.0, "all": True,
                                      "amount": "1.10"},
        "format": "csv", "timeout_ms": 90000, "labels": {"a": "1", "b": "x=y"}}
    assert headers["Idempotency-Key"] == "one" and headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/json" and "Prefer" not in headers


@pytest.mark.parametrize("value", ["x", "1.5e", "true", "[1]", ""])
def test_submit_leaves_it_to_the_gateway_to_refuse_a_value(tally, gateway, value):
    gateway.answer = answer_submit
    assert tally("submit", "many", f"n={value}").returncode == 0
    assert json.loads(gateway.calls[-1][4])["params"] == {"n": value}


@pytest.mark.parametrize("state, code, text", [
    (DONE, 0, f"{ID} succeeded rows=2 bytes=99\n"),
    (FAILED, 1, f"{ID} failed source_error: no table\n"),
    (job("queued"), 0, f"{ID} queued\n"),
])
def test_submit_may_wait(tally, gateway, state, code, text):
    gateway.answer = lambda *call: (answer_submit(*call) if call[0] == "GET" else (200, state))
    result = tally("submit", "many", "--wait", "3")
    assert (result.returncode, result.stdout) == (code, text)
    assert gateway.calls[-1][3]["Prefer"] == "wait=3"
    result = tally("submit", "many", "--wait", "3", "--json")
    assert (result.returncode, json.loads(result.stdout)) == (code, state)


def test_submit_says_why_it_was_refused(tally, gateway):
    gateway.answer = answer_submit
    assert "HTTP 404" in tally("submit", "nothing").stderr
    gateway.answer = lambda *call: answer_submit(*call) if call[0] == "GET" else problem(
        422, "invalid_parameter", errors=[{"in": "body", "name": "n", "detail": "is required"}])
    result = tally("submit", "many")
    assert result.returncode == 1 and "n is required" in result.stderr, result


@pytest.mark.parametrize("arguments", [
    ["submit"], ["submit", "many", "--wait", "31"], ["submit", "many", "--timeout", "0"],
    ["submit", "many", "--label", "x"], ["submit", "many", "--nothing"],
    ["submit", "many", "--concurrency", "2"], ["submit", "many", "--file", "x"],
    ["submit", "--file", "x", "--format", "csv"], ["submit", "--file", "x", "--concurrency", "0"],
    ["submit", "many", "n"], ["submit", "many", "n=1", "n=2"],
    ["wait"], ["wait", ID, ID], ["wait", ID, "--timeout", "x"], ["result"], ["cancel"],
    ["jobs", "x"], ["jobs", "--limit", "0"], ["tail", "x"],
    ["dead-letters"], ["dead-letters", "mend"],
])
def test_wrong_words_exit_with_2(tally, gateway, arguments):
    gateway.answer = answer_submit
    result = tally(*arguments, TALLY_KAFKA="127.0.0.1:1")
    assert result.returncode == 2 and result.stderr, result


def test_nobody_there_is_a_failure():
    for words in ["submit", "many"], ["jobs"], ["wait", ID, "--timeout", "0"], ["cancel", ID]:
        result = run(*words, "--url", "http://127.0.0.1:1")
        assert result.returncode == 1 and "127.0.0.1" in result.stderr, result


# ---- many ----------------------------------------------------------------------------------------

def request(n):
    return json.dumps({"dataset": "comments", "params": {"login": f"user-{n}"}})


def number_of(body):
    return int(re.search(rb"user-(\d+)", body)[1])


def test_many_are_submitted_at_once_and_printed_in_order(tally, gateway, tmp_path):
    together = threading.Barrier(4)

    def answer(_method, _path, _query, _headers, body):
        n = number_of(body)
        if n < 4:
            together.wait(30)  # all of the first are under way
        return 202, job("queued") | {"id": f"id-{n}"}

    gateway.answer = answer
    file = tmp_path / "requests"
    file.write_text("\n".join(request(n) for n in range(3000)) + "\n\n  \n" + request(3000))
    result = tally("submit", "--file", file, "--concurrency", "4", "--key", "k")
    assert result.returncode == 0, result
    assert result.stdout.split() == [f"id-{n}" for n in range(3001)]
    assert re.fullmatch(r"tally: 3001 submitted, 0 failed, in .* a second\n", result.stderr)
    keys = {number_of(call[4]): call[3]["Idempotency-Key"] for call in gateway.calls}
    assert keys[0] == "k-1" and keys[3000] == "k-3003"  # by the number of the line


def test_a_line_that_fails_leaves_its_place_empty(gateway, tmp_path):
    def answer(_method, _path, _query, _headers, body):
        if number_of(body) == 1:
            return problem(422, "invalid_parameter",
                           errors=[{"in": "body", "name": "login", "detail": "is too long"}])
        return 202, job("queued") | {"id": f"id-{number_of(body)}"}

    gateway.answer = answer
    lines = [request(0), request(1), "x" * 70000, request(2)]
    result = subprocess.run([BIN / "tally", "submit", "--file", "-", "--url", gateway.url],
                            input="\n".join(lines), capture_output=True, text=True, timeout=60,
                            cwd=ROOT, env=environment({}), check=False)
    assert result.returncode == 1
    assert result.stdout == "id-0\n\n\nid-2\n"
    assert "line 2: HTTP 422: invalid_parameter: login is too long" in result.stderr
    assert "line 3: it is longer than 65536 bytes" in result.stderr
    assert "2 submitted, 2 failed" in result.stderr


@pytest.mark.parametrize("code, key, tries", [
    ("rate_limited", None, 2), ("saturated", None, 2), ("outcome_unknown", None, 1),
    ("outcome_unknown", "k", 2)])
def test_a_gateway_that_asks_to_come_again_is_asked_again(tally, gateway, tmp_path, code, key,
                                                          tries):
    answers = iter([(*problem(429 if code == "rate_limited" else 503, code), {"Retry-After": "0"}),
                    (202, job("queued"))])
    gateway.answer = lambda *_: next(answers)
    (tmp_path / "one").write_text(request(0))
    result = tally("submit", "--file", tmp_path / "one", *(["--key", key] if key else []))
    assert len(gateway.calls) == tries
    assert result.returncode == (0 if tries == 2 else 1), result


def test_a_terminal_gets_a_progress_bar(gateway, tmp_path):
    release = threading.Event()

    def answer(_method, _path, _query, _headers, body):
        if number_of(body) == 500:
            release.wait(30)
        return 202, job("queued")

    gateway.answer = answer
    (tmp_path / "requests").write_text("\n".join(request(n) for n in range(501)))
    master, slave = pty.openpty()
    with subprocess.Popen([BIN / "tally", "submit", "--file", tmp_path / "requests", "--url",
                           gateway.url, "--concurrency", "1"], stdout=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, stderr=slave, cwd=ROOT,
                          env=environment({})) as process:
        os.close(slave)
        text = ""
        with contextlib.suppress(OSError), os.fdopen(master, errors="replace") as terminal:
            for piece in iter(lambda: terminal.read(1), ""):
                text += piece
                if re.search(r"\[#+\.*\] +\d+ % \d+ submitted, 0 failed, \d+ a second", text):
                    release.set()
        assert process.wait(60) == 0, text
    assert release.is_set(), text
    assert "501 submitted" in text


def test_an_unreadable_file_is_a_failure(tally):
    result = tally("submit", "--file", "/nothing/here")
    assert result.returncode == 1 and "/nothing/here" in result.stderr, result


# ---- wait, result, jobs, cancel ------------------------------------------------------------------

def test_wait_asks_until_the_job_is_final(tally, gateway):
    answers = iter([(200, job("queued")), (*problem(503, "job_store_unavailable"),
                                           {"Retry-After": "0"}), (200, job("running")),
                    (200, DONE)])
    gateway.answer = lambda *_: next(answers)
    result = tally("wait", ID)
    assert result.returncode == 0, result
    assert result.stdout == f"{ID} succeeded rows=2 bytes=99\n"
    assert len(gateway.calls) == 4
    assert {call[3]["Prefer"] for call in gateway.calls} == {"wait=30"}
    gateway.answer = lambda *_: (200, FAILED)
    assert tally("wait", ID).returncode == 1
    gateway.answer = lambda *_: problem(404, "not_found")
    assert tally("wait", ID).returncode == 1


def test_wait_ends_with_its_time(tally, gateway):
    gateway.answer = lambda *_: (200, job("queued"))
    result = tally("wait", ID, "--timeout", "0", "--json")
    assert result.returncode == 1 and json.loads(result.stdout)["state"] == "queued", result
    assert "not final" in result.stderr
    gateway.answer = lambda *_: (200, DONE)
    assert tally("wait", ID, "--timeout", "0").returncode == 0


def test_result_is_streamed_to_a_file_that_is_there_when_it_is_whole(tally, gateway, tmp_path):
    body = b'{"status":"ok","data":[' + b"1," * 5_000_000 + b"1]}"
    gateway.answer = lambda *_: (200, body)
    result = tally("result", ID, "--format", "csv", "--output", tmp_path / "rows")
    assert result.returncode == 0, result
    assert (tmp_path / "rows").read_bytes() == body
    assert gateway.calls[0][1:3] == (f"/v1/jobs/{ID}/result", {"format": "csv"})
    assert tally("result", ID).stdout.encode() == body
    gateway.answer = lambda *_: problem(409, "result_not_ready")
    result = tally("result", ID, "--output", tmp_path / "other")
    assert result.returncode == 1 and "HTTP 409" in result.stderr, result
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_jobs_are_listed_page_by_page(tally, gateway):
    def answer(_method, _path, query, _headers, _body):
        first = 0 if "cursor" not in query else 200
        page = [(DONE if n % 2 else FAILED) | {"id": f"id-{n}"} for n in range(first, first + 200)]
        return 200, {"jobs": page}, {"Link": '</v1/jobs?cursor=x&limit=200>; rel="next"'}

    gateway.answer = answer
    result = tally("jobs", "--state", "failed", "--dataset", "comments", "--limit", "300")
    assert result.returncode == 0, result
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["id", "created", "dataset", "state", "rows", "bytes", "error"]
    assert lines[2].split() == ["id-0", "2025-06-29T10:00:00.000Z", "comments", "failed",
                                "source_error"]
    assert lines[3].split()[3:] == ["succeeded", "2", "99"]
    assert len(lines) == 302
    assert [call[2] for call in gateway.calls] == [
        {"state": "failed", "dataset": "comments", "limit": "200"}, {"cursor": "x", "limit": "200"}]
    result = tally("jobs", "--json", "--limit", "2")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["id-0", "id-1"]


def test_cancel_says_what_became_of_the_job(tally, gateway):
    gateway.answer = lambda *_: (202, job("cancelled"))
    result = tally("cancel", ID)
    assert result.returncode == 0 and result.stdout == f"{ID} cancelled\n", result
    assert gateway.calls[0][:2] == ("DELETE", f"/v1/jobs/{ID}")
    gateway.answer = lambda *_: (200, DONE)
    assert tally("cancel", ID).returncode == 0
    gateway.answer = lambda *_: problem(404, "not_found")
    assert tally("cancel", ID).returncode == 1


# ---- topics --------------------------------------------------------------------------------------

def produce(services, topic, value, headers, key=None, partition=0):
    """Publishes a message; its offset."""
    done = []
    producer = confluent_kafka.Producer({"bootstrap.servers": services.kafka})
    producer.produce(topic, value, key=key, headers=headers, partition=partition,
                     on_delivery=lambda error, message: done.append((error, message)))
    producer.flush(30)
    assert done and done[0][0] is None, done
    return done[0][1].offset()


def result_headers(job_id, run_id, **more):
    headers = {"ce_specversion": "1.0", "ce_id": f"{job_id}/{run_id}", "ce_source": "tally",
               "ce_type": "tally.result.v1", "ce_time": "2025-06-29T10:00:00.000Z",
               "ce_subject": job_id, "content-type": "application/json",
               "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
               "tally-tenant": "default", "tally-dataset": "comments",
               "tally-dataset-hash": "0123456789abcdef", "tally-state": "succeeded",
               "tally-run": run_id, "tally-attempt": "1", "tally-created-ms": "1751191200000",
               "tally-started-ms": "1751191200001", "tally-deadline-ms": "1751194800000"} | more
    return [(name, value) for name, value in headers.items()]


def job_id():
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number = uuid.uuid4().int | 1 << 127
    return "x" + "".join(alphabet[number >> 5 * i & 31] for i in range(25)).rjust(37, "0") + "0"


def test_tail_shows_each_result_once(services):
    settings = {"TALLY_KAFKA": services.kafka}
    whole, parts, failed = job_id(), job_id(), job_id()
    sha = "0" * 64
    produce(services, "tally.results", b"x" * 10, key=whole, headers=result_headers(
        whole, "00000000000000aa", **{"tally-rows": "3", "tally-sha256": sha}))
    for part in 1, 2, 3:
        last = {"tally-parts": "3", "tally-rows": "7", "tally-sha256": sha} if part == 3 else {}
        produce(services, "tally.results", b"x" * 100, key=parts, headers=result_headers(
            parts, "00000000000000bb", **{"ce_id": f"{parts}/00000000000000bb/{part}",
                                          "tally-part": str(part)}, **last))
    produce(services, "tally.results", b'{"code":"source_error"}', key=failed,
            headers=result_headers(failed, "00000000000000cc", **{
                "tally-state": "failed", "tally-error-code": "source_error"}))
    result = run("tail", "--from-beginning", "--until-end", "--json", settings=settings)
    assert result.returncode == 0, result
    # Of records that are none it warns; those of other tests may be there.
    assert not [id for id in (whole, parts, failed) if id in result.stderr], result.stderr
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    ours = {line["id"]: line for line in shown if line["id"] in (whole, parts, failed)}
    assert len([line for line in shown if line["id"] in ours]) == 3
    assert (ours[whole]["rows"], ours[whole]["bytes"]) == (3, 10)
    assert (ours[parts]["rows"], ours[parts]["bytes"]) == (7, 300)
    assert (ours[failed]["state"], ours[failed]["code"]) == ("failed", "source_error")
    result = run("tail", "--from-beginning", "--until-end", settings=settings)
    line = next(line for line in result.stdout.splitlines() if parts in line)
    assert re.search(r"comments\s+succeeded\s+7 rows\s+300 bytes$", line), line
    assert run("tail", "--until-end", settings=settings).stdout == ""


def letter_headers(**more):
    return [(name, value) for name, value in ({
        "tally-reason": "params.login is no string", "tally-origin-topic": "tally.requests.jobs",
        "tally-origin-partition": "3", "tally-origin-offset": "42",
        "tally-origin-time": "1751191200000", "ce_source": "shop\033[2J"} | more).items()]


def test_dead_letters_are_listed_shown_replayed_and_dropped(services, gateway):
    settings = {"TALLY_KAFKA": services.kafka}
    good = produce(services, "tally.dead-letters", request(1), letter_headers())
    ours = job_id()
    labelled = produce(services, "tally.dead-letters",
                       '{"dataset":"comments","params":{},"labels":{"a":"b"}}',
                       letter_headers(ce_subject=ours))
    broken = produce(services, "tally.dead-letters", b"\xff{", letter_headers())
    result = run("dead-letters", "list", settings=settings)
    assert result.returncode == 0, result
    line = next(line for line in result.stdout.splitlines() if line.startswith(f"0/{good} "))
    assert "params.login is no string" in line and "tally.requests.jobs/3/42" in line
    listed = run("dead-letters", "list", "--json", "--limit", "3", settings=settings).stdout
    assert [json.loads(line)["letter"] for line in listed.splitlines()] == [
        f"0/{good}", f"0/{labelled}", f"0/{broken}"]

    result = run("dead-letters", "show", str(good), settings=settings)
    assert "tally-origin-offset: 42\n" in result.stdout and result.stdout.endswith(
        f"\n\n{request(1)}\n"), result
    assert "\033" not in result.stdout
    assert run("dead-letters", "show", f"0/{good}", "--value", settings=settings).stdout \
        == request(1)
    assert run("dead-letters", "show", str(broken + 1), settings=settings).returncode == 1
    assert run("dead-letters", "show", "77/0", settings=settings).returncode == 1

    gateway.answer = lambda *_: (202, job("queued"))
    for letter, labels in (good, {"replay_of": "tally.requests.jobs/3/42"}), \
            (labelled, {"a": "b", "replay_of": ours}):
        result = run("dead-letters", "replay", str(letter), "--url", gateway.url,
                     settings=settings)
        assert result.returncode == 0 and ID in result.stdout, result
        assert json.loads(gateway.calls[-1][4])["labels"] == labels
    result = run("dead-letters", "replay", str(broken), "--url", gateway.url, settings=settings)
    assert result.returncode == 1 and "not JSON" in result.stderr, result
    assert len(gateway.calls) == 2

    result = run("dead-letters", "drop", "--before", str(broken), settings=settings)
    assert result.returncode == 0 and result.stdout.endswith(f"is {broken}\n"), result
    listed = run("dead-letters", "list", "--json", settings=settings).stdout
    assert [json.loads(line)["letter"] for line in listed.splitlines()] == [f"0/{broken}"]
    assert run("dead-letters", "drop", "--before", str(broken + 9),
               settings=settings).returncode != 0


# ---- a real gateway ------------------------------------------------------------------------------

def test_a_job_from_the_command_line_to_its_end(stack, services):
    def tally(*words):
        result = run(*words, "--url", stack.url, settings=services.cli_settings)
        assert result.returncode == 0, (words, result)
        return result.stdout

    id = tally("submit", "comments", "login=vladimir", "--label", "from=cli").strip()
    assert tally("wait", id, "--timeout", "60").startswith(f"{id} succeeded rows=1 bytes=")
    direct = run("run", "comments", "login=vladimir", "--format", "json",
                 settings=services.cli_settings).stdout
    assert tally("result", id) == direct
    assert tally("result", id, "--format", "csv") == run(
        "run", "comments", "login=vladimir", "--format", "csv",
        settings=services.cli_settings).stdout
    listed = [json.loads(line) for line in tally("jobs", "--json").splitlines()]
    assert id in [job["id"] for job in listed]
    document = json.loads(tally("wait", id, "--json"))
    assert document["labels"] == {"from": "cli"}
    assert tally("cancel", id).startswith(f"{id} succeeded")
    shown = run("tail", "--from-beginning", "--until-end", settings=services.cli_settings).stdout
    assert len([line for line in shown.splitlines() if id in line]) == 1
    early = json.loads(tally("submit", "comments", "login=vladimir", "--wait", "30", "--json"))
    assert early["state"] == "succeeded"


def test_the_same_file_may_be_submitted_twice_with_a_key(stack, services, tmp_path):
    file = tmp_path / "requests"
    file.write_text("\n".join(request(n) for n in range(200)) + "\n{\n")
    key = uuid.uuid4().hex
    first, second = (run("submit", "--file", file, "--key", key, "--url", stack.url,
                         "--concurrency", "16", settings=services.cli_settings)
                     for _ in range(2))
    assert first.returncode == second.returncode == 1
    assert "line 201: HTTP 400" in first.stderr and "200 submitted, 1 failed" in first.stderr
    assert first.stdout == second.stdout
    ids = first.stdout.split()
    assert len(set(ids)) == 200
    for id in ids[::50]:
        assert run("wait", id, "--url", stack.url,
                   settings=services.cli_settings).returncode == 0


def test_a_dead_letter_is_submitted_again(stack, services):
    letter = produce(services, "tally.dead-letters",
                     json.dumps({"dataset": "comments", "params": {"login": "vladimir"}}),
                     letter_headers())
    result = run("dead-letters", "replay", str(letter), "--url", stack.url,
                 settings=services.cli_settings)
    assert result.returncode == 0, result
    id = result.stdout.split()[0]
    document = json.loads(run("wait", id, "--json", "--url", stack.url,
                              settings=services.cli_settings).stdout)
    assert document["state"] == "succeeded"
    assert Api(stack.url).final(id)["labels"] == {"replay_of": "tally.requests.jobs/3/42"}
