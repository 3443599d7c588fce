"""What the end-to-end tests are made of: programs that are started and stopped, a client, deadlines.

Nothing here waits for a time to pass: every wait is for an event, with a deadline."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.parse

import confluent_kafka
import psycopg
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TALLY_BIN", ROOT / "build/release/bin"))
START_S = 90  # a group waits this long for a member that was killed
STOP_S = 30
CLIENTS = 64


def wait_until(condition, timeout, what):
    """The first true value of condition(); a failure that says what, past the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)


# ---- programs ------------------------------------------------------------------------------------

def environment(settings):
    """The caller's environment without his own settings of Tally (those of Kafka's client stay)."""
    kept = {name: value for name, value in os.environ.items()
            if not re.match(r"TALLY_(?!KAFKA_)|DATABASE_URL", name)}
    return kept | {name: str(value) for name, value in settings.items()}


class Service:
    """A program that runs until SIGTERM and then exits with 0.  Its log is read all the time."""

    def __init__(self, program, settings, files=None):
        """files: how many it may have open; else as many as we."""
        self.program = program
        self.lines = []
        self.changed = threading.Condition()
        self.is_killed = False
        limit = ["prlimit", f"--nofile={files}", "--"] if files else []
        self.process = subprocess.Popen([*limit, BIN / program], cwd=ROOT, env=environment(settings),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode(errors="replace").rstrip())
                self.changed.notify_all()
        with self.changed:
            self.lines.append("(end of log)")
            self.changed.notify_all()

    def log(self, n=40):
        with self.changed:
            return f"{self.program}'s log:\n" + "\n".join(self.lines[-n:])

    def wait_for(self, pattern, timeout=START_S):
        """The first match of pattern in a line of the log, past or to come."""
        def found():
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)

        with self.changed:
            self.changed.wait_for(lambda: found() or self.lines[-1:] == ["(end of log)"], timeout)
            match = found()
        assert match, f"no {pattern!r} in {self.log()}"
        return match

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        self.is_killed = True
        self.process.kill()
        self.process.wait(STOP_S)

    def wait(self):
        """The exit code; what was said to the end is in the log then."""
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.program} does not stop: {self.log()}") from None
        self.reader.join(STOP_S)
        return code

    def stop(self):
        if self.is_killed:
            return
        if self.process.poll() is None:
            self.terminate()
        code = self.wait()
        assert code == 0, f"{self.program} ended with {code}: {self.log()}"


def port_of(gateway):
    """In either form of the log."""
    return int(gateway.wait_for(r'event["=:]+listening\b.*\bport["=:]+(\d+)')[1])


class Stack:
    """A gateway and workers over the session's broker and databases.

    All workers of the broker are one group: one Stack with workers at a time."""

    def __init__(self, services, n_workers=2, gateway=None, worker=None, gateway_files=None):
        self.services = services
        self.gateway = None
        self.workers = []
        self.n_workers = n_workers
        self.gateway_settings = gateway or {}
        self.gateway_files = gateway_files
        self.worker_settings = worker or {}

    def __enter__(self):
        try:
            self.gateway = Service("tally-gateway", self.services.gateway_settings
                                   | self.gateway_settings, self.gateway_files)
            for _ in range(self.n_workers):
                self.start_worker()
            self.port = port_of(self.gateway)
            self.url = f"http://127.0.0.1:{self.port}"
            wait_until(self.is_ready, START_S, "the gateway is ready")
            for worker in self.workers:
                worker.wait_for(r'event["=:]+ready\b')
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, exception, *_):
        try:
            failures = []
            for service in [self.gateway, *self.workers]:
                try:
                    service.stop()
                except AssertionError as failure:
                    failures.append(failure)
            if failures and exception is None:
                raise failures[0]
        finally:
            self._kill()

    def _kill(self):
        for service in [self.gateway, *self.workers]:
            if service and service.process.poll() is None:
                service.kill()

    def start_worker(self):
        worker = Service("tally-worker", self.services.worker_settings | self.worker_settings)
        self.workers.append(worker)
        return worker

    def is_ready(self):
        assert self.gateway.process.poll() is None, self.gateway.log()
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def get(self, path, **options):
        return session().get(self.url + path, timeout=40, **options)

    def ask(self, dataset, wait=None, **params):
        """The answer to a request for rows."""
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        return session().get(f"{self.url}/api/{dataset}/", headers=headers, timeout=40,
                             params={name: value for name, value in params.items()
                                     if value is not None})


def run(*arguments, settings=None, timeout=60):
    """Runs the command line; its CompletedProcess, with text as it was printed, CRLF and all."""
    result = subprocess.run([BIN / "tally", *arguments], cwd=ROOT, env=environment(settings or {}),
                            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    result.stdout, result.stderr = result.stdout.decode(), result.stderr.decode()
    return result


# ---- clients -------------------------------------------------------------------------------------

_local = threading.local()


def session():
    """This thread's connection."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.trust_env = False
    return _local.session


def at_once(call, items, n=CLIENTS):
    """call(item) for all items, n at a time; the results in order, or the first failure."""
    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        futures = [pool.submit(call, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def is_problem(response, *codes):
    """Checks a problem document and its code; the document."""
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json", \
        (response.status_code, response.headers, response.text)
    document = response.json()
    assert document["status"] == response.status_code
    assert document["code"] in codes, document
    assert {"type", "title", "detail", "retryable"} <= document.keys()
    if response.status_code == 503:
        assert int(response.headers["Retry-After"]) > 0
    return document


# ---- what rows look like -------------------------------------------------------------------------

def as_json(columns, rows):
    """The REST body of rows, byte for byte."""
    data = [dict(zip(columns, row, strict=True)) for row in rows]
    return json.dumps({"status": "ok", "data": data}, ensure_ascii=False,
                      separators=(",", ":")).encode()


def _cell(value):
    if value is None:
        return ""
    if not isinstance(value, str):
        return json.dumps(value)
    guarded = value
    if value[:1] in tuple("=+-@\t\r") and not re.fullmatch(
            r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", value):
        guarded = "'" + value
    if value == "" or re.search('[",\r\n]', guarded):
        return '"' + guarded.replace('"', '""') + '"'
    return guarded


def as_csv(columns, rows):
    lines = [",".join(columns), *(",".join(map(_cell, row)) for row in rows)]
    return "".join(line + "\r\n" for line in lines).encode()


def shown(content, n=2000):
    return content.decode(errors="replace")[:n]


# ---- databases -----------------------------------------------------------------------------------

def with_database(url, name):
    return urllib.parse.urlsplit(url)._replace(path="/" + name).geturl()


@contextlib.contextmanager
def locked(url, table, mode="ACCESS EXCLUSIVE"):
    """Nobody can read table within, or with the mode SHARE write it: they wait."""
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE {table} IN {mode} MODE")
        yield


def lock_waiters(url):
    """How many queries of the database wait for a lock."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type ="
                                  " 'Lock' AND datname = current_database()").fetchone()[0]


# ---- Kafka ---------------------------------------------------------------------------------------

class Topic:
    """What is added to a topic from now on."""

    def __init__(self, servers, name):
        settings = {"bootstrap.servers": servers, "group.id": "e2e-no-group",
                    "enable.auto.commit": False, "allow.auto.create.topics": False}
        self.name = name
        self.consumer = confluent_kafka.Consumer(settings)
        # Of its own: a question would stand behind the reader's fetch, which waits at the broker.
        self.asker = confluent_kafka.Consumer(settings)
        self.partitions = sorted(self.asker.list_topics(name, timeout=30).topics[name]
                                 .partitions)
        self.starts = self.ends()
        self.consumer.assign([confluent_kafka.TopicPartition(name, partition, offset)
                              for partition, offset in zip(self.partitions, self.starts)])

    def ends(self):
        return [wait_until(lambda partition=partition: self._end(partition), 30, "a leader")[1]
                for partition in self.partitions]

    def _end(self, partition):
        """Low and high watermark; None while a new partition has no leader yet."""
        try:
            return self.asker.get_watermark_offsets(
                confluent_kafka.TopicPartition(self.name, partition), timeout=30)
        except confluent_kafka.KafkaException as failure:
            if not failure.args[0].retriable() and failure.args[0].code() not in (
                    confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION,
                    confluent_kafka.KafkaError.LEADER_NOT_AVAILABLE):
                raise
            return None

    def added(self):
        return sum(self.ends()) - sum(self.starts)

    def messages(self, timeout, what):
        """Messages as they come; a failure that says what, past the deadline."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            assert left > 0, f"not within {timeout} s in {self.name}: {what()}"
            message = self.consumer.poll(left)
            if message is not None and not message.error():  # an empty one is false
                yield message

    def close(self):
        self.consumer.close()
        self.asker.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_topic(servers, name):
    """All messages that a topic has now, each partition in its order."""
    with Topic(servers, name) as topic:
        ends = {partition: end for partition, end in zip(topic.partitions, topic.ends()) if end}
        topic.consumer.assign([confluent_kafka.TopicPartition(name, partition, 0)
                               for partition in ends])
        messages = topic.messages(60, lambda: f"the ends {ends}")
        while ends:
            message = next(messages)
            if message.offset() + 1 == ends.get(message.partition()):
                del ends[message.partition()]
            yield message
