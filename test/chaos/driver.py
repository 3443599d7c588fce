"""Clients of every kind at a constant rate, each call a line in a log.

Open loop: operations begin on time whatever the others do, up to MAX_OPEN of them.  An operation is
a generator that yields for how many seconds it wants to be left alone, so that those who poll hold
no thread."""

import collections
import heapq
import http.client
import itertools
import json
import queue
import random
import threading
import time

import confluent_kafka

import world
from plan import GATEWAYS

N_THREADS = 256
MAX_OPEN = 3000
FOLLOW_S = 90         # a job is polled for so long; what it became is looked up at the end, too
LEAVE = 0.05          # so many calls are given up by the client
SLACK_S = 30          # that an answer may come after its wait
PATIENCE_S = 5
DOCUMENT = ("id", "state", "final", "dataset", "params", "result", "error")


class Line:
    """The log; any thread."""

    def __init__(self, path):
        self.file, self.lock = open(path, "w"), threading.Lock()

    def write(self, record):
        with self.lock:
            self.file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def close(self):
        with self.lock:
            self.file.close()


class Client:
    """A thread's connections; a call is given up when its time is over."""

    def __init__(self, ports):
        self.ports = ports
        self.local = threading.local()

    def connection(self, gateway, timeout):
        open_ones = self.local.__dict__.setdefault("connections", {})
        connection = open_ones.get(gateway)
        if connection is None:
            connection = open_ones[gateway] = http.client.HTTPConnection(
                "127.0.0.1", self.ports[gateway], timeout=timeout)
        connection.timeout = timeout
        if connection.sock:
            connection.sock.settimeout(timeout)
        return connection

    def forget(self, gateway):
        self.local.connections.pop(gateway).close()

    def call(self, gateway, method, path, body, headers, timeout):
        connection = self.connection(gateway, timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            if answer.length is None and not answer.chunked:
                # http.client takes a connection that is cut within the headers for their end.
                raise http.client.IncompleteRead(b"")
            return answer.status, answer.read()
        except BaseException:
            self.forget(gateway)
            raise


class Operation:
    """One of them: its number, what it asks, and its calls."""

    def __init__(self, driver, number, kind):
        self.driver, self.number, self.kind = driver, number, kind
        self.rng = random.Random(driver.seed * 1_000_003 + number)
        self.gateway = self.rng.choice(GATEWAYS)
        self.dataset = self.rng.choice(world.DATASETS)
        self.login = world.login_of(self.rng.randrange(world.N_USERS))

    def may_leave(self):
        return self.rng.random() < self.driver.leave

    def call(self, call, method, path, body=None, wait=0, **more):
        """Asks once and logs it; status or None, and the body."""
        headers = {name.replace("_", "-"): text for name, text in more.pop("headers", {}).items()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        leaves = self.may_leave()
        timeout = self.rng.uniform(0.005, 1) if leaves else wait + SLACK_S
        record = {"op": self.number, "kind": self.kind, "call": call, "gateway": self.gateway,
                  "dataset": self.dataset, "login": self.login, "wait": wait} | more
        record["t"] = self.driver.now()
        try:
            status, content = self.driver.client.call(self.gateway, method, path, body, headers,
                                                      timeout)
            record |= describe(call, status, content)
        except TimeoutError:
            status, content = None, None
            record["status"] = "left" if leaves else "late"
        except ConnectionRefusedError:
            status, content = None, None
            record["status"] = "refused"
        except (OSError, http.client.HTTPException):
            status, content = None, None
            record["status"] = "broken"
        record["r"] = self.driver.now()
        self.driver.note(record)
        return status, content

    def other_gateway(self):
        self.gateway = GATEWAYS[1 - GATEWAYS.index(self.gateway)]


def describe(call, status, content):
    """What the log keeps of an answer."""
    record = {"status": status}
    if call in ("rows", "result") and status == 200:
        return record | {"sha256": world.sha256(content)}
    try:
        document = json.loads(content)
    except ValueError:
        return record if status in (204, 304) else record | {"code": "no JSON"}
    if status >= 400:
        return record | {"code": document.get("code")}
    return record | ({"doc": {name: document[name] for name in DOCUMENT if name in document}}
                     if "id" in document else {"sha256": world.sha256(content)})


# ---- kinds of clients ----------------------------------------------------------------------------

def rows(op):
    patience = op.driver.patience
    headers = {"Prefer": f"wait={patience}"}
    if op.rng.random() < 0.4:
        headers["Cache_Control"] = "no-cache"
    op.call("rows", "GET", f"/api/{op.dataset}/?login={op.login}", wait=patience,
            headers=headers)
    yield from ()


def body_of(op, number=None):
    """Each submission has a label of its own, by which its request is known in the topic."""
    return json.dumps({"dataset": op.dataset, "params": {"login": op.login},
                       "labels": {"n": str(op.number if number is None else number)}}).encode()


def submit(op, wait=0, **more):
    """The document of an accepted job, or None."""
    headers = more.pop("headers", {}) | ({"Prefer": f"wait={wait}"} if wait else {})
    body = more.pop("body", None) or body_of(op)
    status, content = op.call("submit", "POST", "/v1/jobs", body, wait, headers=headers, **more)
    return json.loads(content) if status in (200, 202) else None


def follow(op, id, wait=0):
    """Polls, or waits, until the job is final; then reads its rows."""
    until = op.driver.now() + FOLLOW_S
    pause = 0.2
    while op.driver.now() < until and not op.driver.is_closing:
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        status, content = op.call("job", "GET", f"/v1/jobs/{id}", wait=wait, headers=headers, id=id)
        if status == 200 and json.loads(content)["final"]:
            yield from read(op, id)
            return
        if op.rng.random() < op.driver.leave / 2:
            return
        if op.rng.random() < 0.3:
            op.other_gateway()
        yield pause
        pause = min(2, pause * 1.5)


def read(op, id):
    op.call("result", "GET", f"/v1/jobs/{id}/result", id=id)
    if op.rng.random() < 0.2:  # later on nothing has changed
        op.other_gateway()
        yield op.rng.uniform(1, 20)
        op.call("job", "GET", f"/v1/jobs/{id}", id=id)
        op.call("result", "GET", f"/v1/jobs/{id}/result", id=id)


def poll(op):
    document = submit(op)
    if document:
        yield 0.1
        yield from follow(op, document["id"])


def wait(op):
    document = submit(op, wait=op.rng.choice([0, op.driver.patience]))
    if document:
        yield from follow(op, document["id"], op.driver.patience)


def respond_async(op):
    wait = op.rng.choice([0, 2])
    prefer = "respond-async" + (f", wait={wait}" if wait else "")
    status, content = op.call("async", "GET", f"/api/{op.dataset}/?login={op.login}", wait=wait,
                              headers={"Prefer": prefer})
    if status == 202:
        yield 0.2
        yield from follow(op, json.loads(content)["id"])


def cancel(op):
    document = submit(op)
    if document:
        if op.rng.random() < 0.3:
            yield op.rng.uniform(0, 3)
        op.call("cancel", "DELETE", f"/v1/jobs/{document['id']}", id=document["id"])
        yield from follow(op, document["id"])


def keyed(op):
    """Tries until it is told, at either gateway; or repeats what another one did, or asks for
    something else with its key."""
    key = op.driver.some_key(op) if op.rng.random() < 0.5 else None
    if key is None:
        key = op.driver.new_key(op)
    elif key["known"] and op.rng.random() < 0.2:
        op.login = world.login_of((int(key["login"][4:]) + 1) % world.N_USERS)
        submit(op, headers={"Idempotency_Key": key["key"]}, key=key["key"], differs=True)
        return
    op.dataset, op.login = key["dataset"], key["login"]
    for _ in range(8):
        document = submit(op, headers={"Idempotency_Key": key["key"]}, key=key["key"],
                          body=body_of(op, key["number"]), label=str(key["number"]))
        if document:
            key["known"] = True
            yield from follow(op, document["id"])
            return
        op.other_gateway()
        yield op.rng.uniform(0.1, 2)


def events(op):
    document = submit(op)
    if document:
        stream(op, document["id"])
        yield 0.1
        yield from follow(op, document["id"])


def stream(op, id):
    """Reads a job's events until the stream ends."""
    record = {"op": op.number, "kind": op.kind, "call": "events", "gateway": op.gateway, "id": id,
              "dataset": op.dataset, "login": op.login, "t": op.driver.now(), "events": []}
    timeout = op.rng.uniform(0.1, 2) if op.may_leave() else 20
    connection = http.client.HTTPConnection("127.0.0.1", op.driver.client.ports[op.gateway],
                                            timeout=timeout)
    try:
        connection.request("GET", f"/v1/jobs/{id}/events")
        answer = connection.getresponse()
        record["status"] = answer.status
        if answer.status != 200:
            record |= describe("events", answer.status, answer.read())
        for number, document in events_of(answer):
            record["events"].append(number)
            record["doc"] = {name: document[name] for name in DOCUMENT if name in document}
    except (OSError, http.client.HTTPException, ValueError):
        record["status"] = "broken"
    finally:
        connection.close()
    record["r"] = op.driver.now()
    op.driver.note(record)


def events_of(answer):
    block = {}
    for line in iter(answer.readline, b""):
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            block[name] = value
        elif "data" in block:
            yield int(block["id"]), json.loads(block["data"])
            block = {}


def foreign(op):
    """Another service's request, put into Kafka by itself; some come twice."""
    event = f"c{op.number}"
    for _ in range(2 if op.rng.random() < 0.1 else 1):
        op.driver.publish(op, event)
    id = op.driver.foreign_id(event)
    yield 0.5
    yield from follow(op, id)


# How often each is begun.
MIX = {rows: 44, poll: 14, wait: 12, respond_async: 6, cancel: 6, keyed: 8, events: 5, foreign: 5}


class Driver:
    """start() until finish()."""

    def __init__(self, ports, servers, log, seed, rate, now, foreign_id):
        self.mix, self.leave, self.patience = MIX, LEAVE, PATIENCE_S
        self.client = Client(ports)
        self.log, self.seed, self.rate, self.now = log, seed, rate, now
        self.source = f"/chaos/{seed}"
        self.foreign_id = lambda event: foreign_id("default", self.source, event)
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": servers, "enable.idempotence": True,
            "message.timeout.ms": 60_000, "log_level": 0})
        self.rng = random.Random(seed)
        self.keys = collections.deque(maxlen=50)
        self.ready = queue.SimpleQueue()
        self.later = []
        self.order = itertools.count()
        self.lock = threading.Lock()
        self.open = self.begun = self.shed = 0
        self.is_closing = False
        self.good = {}  # (kind of call, gateway): when it was asked what was answered well last
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(N_THREADS)]
        self.clock = threading.Thread(target=self._tick, daemon=True)

    def start(self):
        for thread in [*self.threads, self.clock]:
            thread.start()

    # ---- operations ----------------------------------------------------------------------------

    def _tick(self):
        """Begins operations in time, and lets those go on that wanted to be left alone."""
        mix = [kind for kind, n in self.mix.items() for _ in range(n)]
        next_at = self.now()
        while not self.is_closing or self.open:
            self.producer.poll(0)
            now = self.now()
            while next_at <= now and not self.is_closing:
                next_at += 1 / self.rate
                self._begin(self.rng.choice(mix))
            with self.lock:
                while self.later and (self.later[0][0] <= now or self.is_closing):
                    self.ready.put(heapq.heappop(self.later)[2])
            time.sleep(0.005)

    def _begin(self, kind):
        with self.lock:
            if self.open >= MAX_OPEN:
                self.shed += 1
                return
            self.open += 1
            self.begun += 1
            number = self.begun
        operation = Operation(self, number, kind.__name__)
        self.ready.put(kind(operation))

    def _work(self):
        while (generator := self.ready.get()) is not None:
            try:
                pause = next(generator)
                with self.lock:
                    heapq.heappush(self.later, (self.now() + pause, next(self.order), generator))
                continue
            except StopIteration:
                pass
            except Exception as error:  # noqa: BLE001 - one operation must not end a thread
                self.note({"call": "bug", "error": repr(error), "t": self.now(), "r": self.now(),
                           "status": "bug", "gateway": None})
            with self.lock:
                self.open -= 1

    def note(self, record):
        record["t"], record["r"] = round(record["t"], 4), round(record["r"], 4)
        self.log.write(record)
        if record["status"] in (200, 202):
            key = record["call"], record["gateway"]
            self.good[key] = max(self.good.get(key, 0), record["t"])

    def is_well_since(self, moment):
        """Whether each gateway has answered calls of all kinds that were asked later."""
        return all(self.good.get((call, gateway), 0) > moment for gateway in GATEWAYS
                   for call in ("rows", "submit", "job", "result"))

    def finish(self, timeout):
        """Begins nothing more and waits for what is under way; how many are still open then."""
        self.is_closing = True
        until = time.monotonic() + timeout
        while self.open and time.monotonic() < until:
            time.sleep(0.05)
        self.producer.flush(timeout)
        for _ in self.threads:
            self.ready.put(None)
        return self.open

    # ---- what operations share -----------------------------------------------------------------

    def new_key(self, op):
        key = {"key": f"chaos-{self.seed}-{op.number}", "number": op.number, "known": False,
               "dataset": op.dataset, "login": op.login}
        with self.lock:
            self.keys.append(key)
        return key

    def some_key(self, op):
        with self.lock:
            return op.rng.choice(self.keys) if self.keys else None

    def publish(self, op, event):
        record = {"op": op.number, "kind": op.kind, "call": "publish", "gateway": None,
                  "dataset": op.dataset, "login": op.login, "id": self.foreign_id(event),
                  "t": self.now()}

        def delivered(error, _message):
            self.note(record | {"r": self.now(), "status": "unknown" if error else 202})

        headers = {"ce_specversion": "1.0", "ce_type": "tally.request.v1", "ce_id": event,
                   "ce_source": self.source}
        value = json.dumps({"dataset": op.dataset, "params": {"login": op.login}}).encode()
        try:
            self.producer.produce("tally.requests.jobs", value, event,
                                  headers=list(headers.items()), on_delivery=delivered)
        except BufferError:
            self.note(record | {"r": self.now(), "status": "refused"})
