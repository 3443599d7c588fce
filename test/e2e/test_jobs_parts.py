"""Results in parts: one body for every reader, also when two workers answer, at little memory."""

import concurrent.futures
import contextlib
import hashlib
import pathlib
import re
import secrets
import signal
import subprocess
import sys

import psycopg
import pytest

from harness import BIN, ROOT, STOP_S, Topic, as_csv, as_json, locked, run, wait_until
from jobs import Api, sha256
from library import block

HERE = pathlib.Path(__file__).parent
POISON = BIN.parent / "test/e2e/poison.so"
READ_S = 60
PRINTED = '        print(id, head["tally-state"], head.get("tally-rows", 0), flush=True)  # your work\n'
PRINTS_BODIES = """\
        if id == sys.argv[3]:
            sys.stdout.buffer.write(body + b"\\n")
        if id == sys.argv[4]:
            sys.exit()
"""


@pytest.fixture(scope="module")
def readers(library, services, tmp_path_factory):
    """The commands of two readers of results, ours and a plain one as the README has it.  Both print
    the bodies that they find for one job, a line each, until they have come to the end, which is
    another's."""
    python = tmp_path_factory.mktemp("plain") / "results.py"
    text = block("python")
    assert PRINTED in text
    python.write_text(text.replace(PRINTED, PRINTS_BODIES))
    program = library.build(HERE / "bodies.c")

    def read(id, end):
        return {name: subprocess.run([*command, services.kafka, secrets.token_hex(8), id, end],
                                     env=library.environment, capture_output=True, check=True,
                                     timeout=READ_S).stdout
                for name, command in {"C": [program], "Python": [sys.executable, python]}.items()}

    return read


# ---- large results -------------------------------------------------------------------------------

LARGE = """-- dataset large: many rows
-- param   n text required
-- column  i int
-- column  text text
-- order   i
-- step row on db1
SELECT i, 'row ' || i || ' ' || repeat(md5(i::text), 5) AS text
  FROM generate_series(1, :n::int) AS i;
"""
N_LARGE = 50_000
GROWTH_KIB = 32 * 1024


def large_rows():
    return [(i, f"row {i} {hashlib.md5(str(i).encode()).hexdigest() * 5}")
            for i in range(1, N_LARGE + 1)]


def most_resident_kib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def read_all(api, id):
    """A job's rows in each format."""
    return {format: api.result(id, f"?format={format}").content
            for format in ("json", "csv", "ndjson")}


def wait_for_rows(api, n):
    """Rows for a caller who waits for his job; and its id."""
    answer = api.get(f"/api/large/?n={n}", Prefer="respond-async, wait=30")
    assert answer.status == 200, answer
    return answer.content, answer.headers["Location"].rsplit("/", 1)[1]


def test_a_large_result_is_the_same_everywhere_and_costs_little_memory(
        start_stack, services, library, readers, tmp_path):
    (tmp_path / "large.sql").write_text(LARGE)
    settings = {"TALLY_DATASETS": tmp_path}
    stack = start_stack(n_workers=2, gateway=settings, worker=settings)
    api = Api(stack.url)
    read_all(api, wait_for_rows(api, 10)[1])
    before = most_resident_kib(stack.gateway.process)

    id = api.submit("large", {"n": str(N_LARGE)})["id"]
    document = api.final(id)
    assert document["state"] == "succeeded", document
    found = read_all(api, id)
    growth = most_resident_kib(stack.gateway.process) - before
    assert growth <= GROWTH_KIB, f"{growth} KiB"

    rows = large_rows()
    body = as_json(["i", "text"], rows)
    assert 9_000_000 < len(body) < 12_000_000, len(body)
    assert found["json"] == body
    assert found["csv"] == as_csv(["i", "text"], rows)
    assert wait_for_rows(api, N_LARGE)[0] == body
    assert document["result"] | {"rows": N_LARGE, "bytes": len(body), "sha256": sha256(body)} \
        == document["result"]
    for format, content in found.items():
        printed = run("run", "large", f"n={N_LARGE}", "--format", format,
                      settings=services.cli_settings | settings
                      | {"TALLY_RESULT_MAX_BYTES": 15 << 20})
        assert printed.returncode == 0, printed.stderr
        assert printed.stdout.encode() == content, format
    end = api.submit("large", {"n": "1"})["id"]
    for name, printed in readers(id, end).items():
        assert printed == body + b"\n", name
    ask = library.build(ROOT / "pkg/tally/examples/ask.c")
    asked = subprocess.run([ask, services.kafka, "large", "n", str(N_LARGE)], timeout=READ_S,
                           env=library.environment, capture_output=True, check=True)
    assert asked.stdout == body + b"\n"


# ---- two workers that both answer ----------------------------------------------------------------

RUNS = """-- dataset runs: rows that tell which worker read them
-- param   n int required
-- column  i int
-- column  worker text
-- column  text text
-- order   i
-- step row on db2
SELECT i, current_setting('application_name') AS worker, repeat(md5(i::text), 4) AS text
  FROM generate_series(1, :n) AS i WHERE NOT EXISTS (SELECT FROM logs WHERE id < 0);
"""
N_RUN = 20_000
PART_BYTES = 4096


class Runs:
    """The runs of one job as they come in tally.results: of each its parts, and whose they are."""

    def __init__(self, topic, id):
        self.topic = topic
        self.id = id
        self.runs = {}

    def gather(self, is_enough, timeout):
        for message in self.topic.messages(timeout, lambda: f"runs of {self.id}: {self}"):
            if message.key() == self.id:
                self._add(message)
            if is_enough():
                return

    def _add(self, message):
        headers = {name: value.decode() for name, value in message.headers()}
        run = self.runs.setdefault(headers["tally-run"], {
            "began": message.offset(), "ended": None, "n": 0,
            "worker": re.search(rb'"worker":"(.*?)"', message.value())[1].decode()})
        run["n"] += 1
        if "tally-parts" in headers:
            assert run["n"] == int(headers["tally-part"]) == int(headers["tally-parts"])
            run["ended"] = message.offset()

    def complete(self):
        return [run for run in self.runs.values() if run["ended"] is not None]

    def __str__(self):
        return str(list(self.runs.values()))


def waiting_workers(services):
    """The workers whose queries wait for a lock."""
    with psycopg.connect(services.db2) as connection:
        return {name for name, in connection.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND application_name IN ('a', 'b')")}


def is_stopped(process):
    return pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


class Pair:
    """Two workers, one of which stops for a while in the midst of a job."""

    def __init__(self, stack, services):
        self.api = Api(stack.url)
        self.services = services
        self.workers = {}
        for name in "a", "b":
            stack.worker_settings["TALLY_SOURCE_DB2"] = f"{services.db2}?application_name={name}"
            self.workers[name] = stack.start_worker()
        for worker in self.workers.values():
            worker.wait_for(r"event=ready\b")
            worker.wait_for(r"\b6 partitions of tally\.requests\.jobs assigned")  # half of them

    @contextlib.contextmanager
    def stopped(self, name, by_itself=False):
        process = self.workers[name].process
        if by_itself:
            wait_until(lambda: is_stopped(process), READ_S, "it stopped in its parts")
        else:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def answer_twice(self, moment):
        """What the caller of a job was told, and the two runs of the job."""
        with Topic(self.services.kafka, "tally.requests.jobs") as requests, \
                Topic(self.services.kafka, "tally.results") as results, \
                concurrent.futures.ThreadPoolExecutor(1) as pool:
            def submit():
                caller = pool.submit(self.api.get, f"/api/runs/?n={N_RUN}",
                                     Prefer="respond-async, wait=30")
                request = next(requests.messages(30, lambda: "the request"))
                return caller, Runs(results, dict(request.headers())["ce_subject"])

            caller, runs = moment(self, submit)
            runs.gather(lambda: len(runs.complete()) >= 2, READ_S)
            return caller.result(), runs


def at_its_query(pair, submit):
    """Both read their rows at the same time; one stops before it has them, until the other is
    done."""
    with contextlib.ExitStack() as stopped:
        with locked(pair.services.db2, "logs"):
            caller, runs = submit()
            first = min(wait_until(lambda: waiting_workers(pair.services), READ_S,
                                   "its query waits"))
            stopped.enter_context(pair.stopped(first))
            wait_until(lambda: waiting_workers(pair.services) == {"a", "b"}, READ_S,
                       "the other took over")
        runs.gather(runs.complete, READ_S)
    return caller, runs


def in_its_parts(pair, submit):
    """One has published some of its parts; the other publishes all of its own; then the rest come."""
    caller, runs = submit()
    runs.gather(lambda: runs.runs, READ_S)
    first, = runs.runs.values()
    with pair.stopped(first["worker"], by_itself=True):
        runs.gather(runs.complete, READ_S)
        assert first["ended"] is None
    return caller, runs


@pytest.fixture
def pair(request, start_stack, services, tmp_path):
    (tmp_path / "runs.sql").write_text(RUNS)
    settings = {"TALLY_DATASETS": tmp_path}
    worker = settings | {"TALLY_PART_BYTES": PART_BYTES}
    if request.node.callspec.params["moment"] is in_its_parts:
        worker |= {"LD_PRELOAD": POISON, "TALLY_TEST_STOP": tmp_path / "stopped"}
    return Pair(start_stack(n_workers=0, gateway=settings, worker=worker), services)


@pytest.mark.parametrize("moment", [at_its_query, in_its_parts])
def test_two_workers_that_both_answer_never_give_a_mixed_body(pair, readers, moment):
    api = pair.api
    caller, runs = pair.answer_twice(moment)
    id = runs.id.decode()
    first, second = sorted(runs.complete(), key=lambda run: run["ended"])
    assert first["worker"] != second["worker"] and first["n"] > 100
    if moment is in_its_parts:
        assert second["began"] < first["began"] < first["ended"] < second["ended"], "interleaved"
    before = api.final(id)
    end = api.submit("runs", {"n": 1})["id"]
    api.final(end)  # the second run is recorded, too

    columns = ["i", "worker", "text"]
    rows = [(i, first["worker"], hashlib.md5(str(i).encode()).hexdigest() * 4)
            for i in range(1, N_RUN + 1)]
    body = as_json(columns, rows)
    document = api.job(id)
    assert document == before
    assert document["result"]["offset"] == first["ended"]
    assert document["result"]["sha256"] == sha256(body)
    assert caller.content == body
    assert api.result(id).content == body
    assert api.result(id, "?format=csv").content == as_csv(columns, rows)
    for name, printed in readers(id, end).items():
        assert printed == body + b"\n", name
