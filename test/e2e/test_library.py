"""The library as another service uses it: installed, compiled against, run beside real Kafka.

The examples of pkg/tally/examples are the services.  Results are published here, or by workers."""

import hashlib
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time

import confluent_kafka
import pytest

import rows
from harness import ROOT, START_S, STOP_S, Service, Topic, as_json, run, wait_until
from library import block

sys.path.insert(0, str(ROOT / "test/contract"))
from test_contract import make_job_id  # noqa: E402

DEADLINE_MS = 3600 * 1000


# ---- the installed library -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def ask(library):
    """ask(servers, dataset, name, value ...): its CompletedProcess."""
    program = library.build(ROOT / "pkg/tally/examples/ask.c")
    return lambda *words: subprocess.run([program, *words], env=library.environment, timeout=60,
                                         capture_output=True, check=False)


@pytest.fixture(scope="module")
def example(library):
    return library.build(ROOT / "pkg/tally/examples/results.c")


class Reader:
    """A service that prints results.  What it prints is read all the time."""

    def __init__(self, library, command, servers, group):
        self.lines = []
        self.process = subprocess.Popen([*command, servers, group], env=library.environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(tuple(line.split()))

    def wait_for(self, id):
        wait_until(lambda: any(line[0] == id for line in self.lines), START_S, f"{id} is read")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(STOP_S) == 0
        self.thread.join(STOP_S)
        return self.lines

    def kill(self):
        self.process.kill()
        self.process.wait(STOP_S)
        self.thread.join(STOP_S)


@pytest.fixture
def read(library, example, services):
    """read(group[, command]): a reader of its own, by default the example."""
    readers = []

    def start(group, command=(example,)):
        readers.append(Reader(library, command, services.kafka, group))
        return readers[-1]

    yield start
    for reader in readers:
        reader.kill()


def test_the_library_is_installed_with_its_public_headers_only(library):
    names = {header.name for header in library.headers.iterdir()}
    assert {"client.h", "results.h", "job.h", "status.h"} <= names
    assert not {"rules.h", "consume.h", "seen.h"} & names
    assert "-ltally" in library.flags("--libs")
    assert "-lrdkafka" in library.flags("--static", "--libs")


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler here")
def test_the_headers_are_cpp_too(library):
    text = "".join(f"#include <tally/{header.name}>\n" for header in library.headers.iterdir())
    text += "int main() { return tally_status_is_retryable(TALLY_OK); }\n"
    source = library.folder / "headers.cpp"
    source.write_text(text)
    subprocess.run(["g++", "-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", source,
                    *library.flags("--cflags", "--libs"), "-o", library.folder / "headers"],
                   check=True, timeout=120)
    subprocess.run([library.folder / "headers"], env=library.environment, check=True, timeout=60)


# ---- results that are published here -------------------------------------------------------------

class Results:
    """Publishes what a worker would."""

    def __init__(self, servers):
        self.producer = confluent_kafka.Producer({"bootstrap.servers": servers, "linger.ms": 1})
        self.n_partitions = len(self.producer.list_topics("tally.results", timeout=30)
                                .topics["tally.results"].partitions)
        self.failures = 0

    def new(self, partition):
        now = int(time.time() * 1000)
        return Job(self, make_job_id(b"secret", "default", now, partition, secrets.token_bytes(8)),
                   partition, now)

    def publish(self, key, partition, value, headers):
        self.producer.produce("tally.results", value, key, partition=partition,
                              headers=[(name, str(v).encode()) for name, v in headers.items()],
                              on_delivery=self._delivered)

    def _delivered(self, error, _message):
        self.failures += bool(error)

    def flush(self):
        assert self.producer.flush(30) == 0 and self.failures == 0


class Job:
    def __init__(self, results, id, partition, created_ms):
        self.results, self.id, self.partition, self.created_ms = results, id, partition, created_ms

    def publish(self, run, value=b"", part=None, **headers):
        suffix = "" if part is None else f"/{part}"
        common = {"ce_specversion": "1.0", "ce_id": f"{self.id}/{run}{suffix}",
                  "ce_source": "tally", "ce_type": "tally.result.v1",
                  "ce_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                  "ce_subject": self.id, "tally-tenant": "default", "tally-run": run,
                  "tally-attempt": 1, "tally-created-ms": self.created_ms,
                  "tally-deadline-ms": self.created_ms + DEADLINE_MS}
        if part is not None:
            common["tally-part"] = part
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.results.publish(self.id, self.partition, value, common | named)

    def succeed(self, n_rows, run=None):
        body = b'{"status":"ok","data":[]}'
        self.publish(run or secrets.token_hex(8), body, tally_state="succeeded",
                     tally_rows=n_rows, tally_sha256=sha256(body))

    def end(self, state, code):
        self.publish("0" * 16, b'{"code":"%s"}' % code.encode(), tally_state=state,
                     tally_error_code=code)

    def part(self, run, number, text):
        self.publish(run, text, number, tally_state="succeeded")

    def last(self, run, number, text, n_rows, whole):
        self.publish(run, text, number, tally_state="succeeded", tally_parts=number,
                     tally_rows=n_rows, tally_sha256=sha256(whole))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def results(services):
    return Results(services.kafka)


def line(job, n_rows, state="succeeded"):
    return (job.id, state, str(n_rows))


def only(lines, *jobs):
    """Those lines that are of these jobs: other tests have results in the topic, too."""
    return [line for line in lines if line[0] in {job.id for job in jobs}]


def test_each_result_is_read_once_and_the_lowest_offset_of_an_id_counts(results, read):
    whole, twice, failed, cancelled, parts, torn, end = (results.new(1) for _ in range(7))
    whole.succeed(3)
    twice.succeed(1, "1" * 16)
    twice.succeed(2, "2" * 16)
    failed.end("failed", "source_error")
    cancelled.end("cancelled", "cancelled")
    cancelled.succeed(9)
    results.publish(b"a key", 1, b"what somebody else wrote", {"x": "y"})
    parts.part("a" * 16, 1, b"AB")  # two executions; the second is complete first
    parts.part("b" * 16, 1, b"ab")
    parts.part("a" * 16, 2, b"CD")
    parts.last("b" * 16, 2, b"cd", 5, b"abcd")
    parts.last("a" * 16, 3, b"EF", 6, b"ABCDEF")
    torn.part("c" * 16, 1, b"ab")
    torn.last("c" * 16, 3, b"ef", 7, b"abcdef")  # without the second
    torn.part("d" * 16, 1, b"ab")
    torn.last("d" * 16, 2, b"xx", 8, b"abcd")  # which is not what the digest says
    end.succeed(0)
    results.flush()
    reader = read("once")
    reader.wait_for(end.id)
    assert only(reader.stop(), whole, twice, failed, cancelled, parts, torn, end) == [
        line(whole, 3), line(twice, 1), line(failed, 0, "failed"),
        line(cancelled, 0, "cancelled"), line(parts, 5), line(end, 0)]


def test_a_reader_that_starts_again_knows_what_was_before(results, read):
    first, parts, middle, fresh, end = (results.new(2) for _ in range(5))
    first.succeed(1)
    parts.part("a" * 16, 1, b"ab")
    middle.succeed(2)
    results.flush()
    reader = read("again")
    reader.wait_for(middle.id)
    assert only(reader.stop(), first, parts, middle) == [line(first, 1), line(middle, 2)]
    first.succeed(3)  # an execution that came late
    parts.last("a" * 16, 2, b"cd", 4, b"abcd")  # the first part is below the committed offset
    fresh.succeed(5)
    results.flush()
    reader = read("again")
    reader.wait_for(fresh.id)
    reader.kill()  # after this, fresh was perhaps committed and perhaps not
    end.succeed(6)
    middle.succeed(7)
    results.flush()
    reader = read("again")
    reader.wait_for(end.id)
    assert only(reader.stop(), first, parts, middle, end) in (
        [line(end, 6)], [line(parts, 4), line(end, 6)])


def test_readers_of_a_group_share_the_results(results, read):
    jobs = [results.new(i % results.n_partitions) for i in range(240)]
    for job in jobs[:120]:
        job.succeed(1)
    results.flush()
    one = read("shared")
    wait_until(lambda: len(only(one.lines, *jobs)) == 120, START_S, "the first half is read")
    two = read("shared")
    probes = []

    def is_shared():
        """Whether the other one reads, too: something is published for it until it does."""
        probes.append(results.new(len(probes) % results.n_partitions))
        probes[-1].succeed(0)
        results.flush()
        return only(two.lines, *probes)

    wait_until(is_shared, START_S, "the second reader has partitions")
    for job in jobs[120:]:
        job.succeed(1)
    results.flush()

    def read_by_both():
        return only(one.lines, *jobs) + only(two.lines, *jobs)

    wait_until(lambda: len(read_by_both()) >= 240, START_S, "the second half is read")
    assert only(two.lines, *jobs)
    both = only(one.stop(), *jobs) + only(two.stop(), *jobs)
    assert sorted(both) == sorted(line(job, 1) for job in jobs)


# ---- the README's readers -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def published(results):
    """Jobs with results of every kind, the last of them behind all others; and their lines."""
    whole, twice, failed, cancelled, parts, end = (results.new(3) for _ in range(6))
    whole.succeed(3)
    failed.end("failed", "source_error")
    twice.succeed(1, "1" * 16)
    cancelled.end("cancelled", "cancelled")
    parts.part("a" * 16, 1, b"AB")
    parts.part("b" * 16, 1, b"ab")
    parts.last("b" * 16, 2, b"cd", 5, b"abcd")
    parts.last("a" * 16, 2, b"CD", 6, b"ABCD")
    twice.succeed(2, "2" * 16)
    end.succeed(0)
    results.flush()
    return (whole, twice, failed, cancelled, parts, end), [
        line(whole, 3), line(failed, 0, "failed"), line(twice, 1),
        line(cancelled, 0, "cancelled"), line(parts, 5), line(end, 0)]


@pytest.mark.skipif(not shutil.which("kcat"), reason="no kcat here")
def test_kcat_reads_as_the_readme_says(services, published):
    command = block("shell").replace("127.0.0.1:9092", services.kafka)
    read = subprocess.run(["bash", "-eo", "pipefail", "-c", command], capture_output=True,
                          text=True, timeout=60, check=True)
    lines = [tuple(line.split()) for line in read.stdout.splitlines()]
    assert only(lines, *published[0]) == published[1]


def check_reader(read, command, published):
    reader = read("readme-" + secrets.token_hex(4), command)
    reader.wait_for(published[0][-1].id)
    reader.kill()
    assert only(reader.lines, *published[0]) == published[1]


def test_the_example_reads_the_same(read, published, example):
    check_reader(read, [example], published)


def test_python_reads_as_the_readme_says(read, published, tmp_path):
    (tmp_path / "results.py").write_text(block("python"))
    check_reader(read, [sys.executable, tmp_path / "results.py"], published)


@pytest.mark.skipif(not shutil.which("javac"), reason="no Java compiler here")
def test_java_reads_as_the_readme_says(read, published, tmp_path):
    (tmp_path / "Results.java").write_text(block("java"))
    libs = f"{ROOT}/build/kafka/libs/*"  # what the tests' own Kafka runs with
    subprocess.run(["javac", "-Werror", "-Xlint:all,-serial", "-cp", libs, "Results.java"],
                   cwd=tmp_path, check=True, timeout=120)
    check_reader(read, ["java", "-cp", f"{tmp_path}:{libs}", "Results"], published)


# ---- asking --------------------------------------------------------------------------------------

MANY = """
-- dataset many: the numbers from 1 to n
-- param   n text required
-- column  number int
-- column  text text
-- order   number
-- step number on db1 by n
SELECT q.n, i AS number, repeat('é', 20) AS text
  FROM unnest(:n) AS q(n),
       generate_series(1, q.n::int) AS i;
"""


@pytest.fixture(scope="module")
def many(datasets, tmp_path_factory):
    """Settings with a dataset of as many rows as one likes."""
    folder = tmp_path_factory.mktemp("many") / "datasets"
    shutil.copytree(datasets, folder)
    (folder / "many.sql").write_text(MANY)
    return {"TALLY_DATASETS": folder}


@pytest.fixture(scope="module")
def worker(services, many):
    """One worker, whose results are in parts of a kilobyte."""
    worker = Service("tally-worker", services.worker_settings | many | {"TALLY_PART_BYTES": 1024})
    try:
        worker.wait_for(r"event=ready\b")
        yield worker
        worker.stop()
    finally:
        worker.kill()


def test_rows_are_asked_for_and_come(ask, worker, services):
    answer = ask(services.kafka, "comments", "login", "vladimir")
    assert answer.returncode == 0, answer
    body = as_json(rows.COMMENTS, [("vladimir", "ЖК Эдельвейс", "vladimir", 1)])
    assert answer.stdout == body + b"\n"


def test_a_result_in_parts_is_put_together(ask, worker, services, many):
    with Topic(services.kafka, "tally.results") as topic:
        answer = ask(services.kafka, "many", "n", "1000")
        assert answer.returncode == 0, answer
        assert topic.added() > len(answer.stdout) // 1024
    whole = run("run", "many", "n=1000", settings=services.cli_settings | many)
    assert answer.stdout.strip() == whole.stdout.strip().encode()
    assert len(answer.stdout) > 50_000


@pytest.mark.parametrize("words, code", [
    (["nothing"], b"unknown_dataset"), (["comments"], b"invalid_parameter"),
    (["comments", "login", "x" * 300], b"invalid_parameter")])
def test_a_failure_says_why(ask, worker, services, words, code):
    answer = ask(services.kafka, *words)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].split(b":")[0] in (code, b"dataset_mismatch"), answer


def test_without_kafka_it_says_so(ask, library):
    answer = ask("127.0.0.1:1", "comments", "login", "x")
    assert answer.returncode == 1
    assert answer.stderr.startswith(b"kafka_unavailable"), answer
