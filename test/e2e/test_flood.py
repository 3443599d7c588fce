"""Many connections that are slow on purpose, and more than there are descriptors for: those who ask
as others do are answered all the same."""

import contextlib
import selectors
import socket
import threading
import time
import urllib.parse

import pytest

import rows
from harness import as_json, at_once, wait_until
from jobs import Api
from keys import metric

N_SLOW = 1000
TOTAL_MS = 4000   # in which a whole request must be there
DRIBBLE_S = 0.3   # between two bytes of a slow one
N_CLIENTS = 8
N_ASKED = 60      # by each client, without and with the slow ones
FILES = 128       # the gateway alone needs about 75
N_FLOOD = 4 * FILES


@pytest.fixture(scope="module")
def logins(world):
    return [login for login in world.ids if world.comments(login)][:N_CLIENTS]


class SlowOnes:
    """Connections that send a byte now and then, each until it is cut."""

    BEGINNINGS = [b"GET /api/comments/?login=", b"GET / HTTP/1.1\r\nHost: t\r\nX: ",
                  b"POST /v1/jobs HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n",
                  b"POST /v1/jobs HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"8000\r\n"]

    def __init__(self, port, n):
        self.port, self.n = port, n
        self.answers = []
        self.longest_s = 0.0
        self.selector = selectors.DefaultSelector()
        self.thread = threading.Thread(target=self._run)

    def _open(self, i):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(self.BEGINNINGS[i % len(self.BEGINNINGS)])
        connection.setblocking(False)
        self.selector.register(connection, selectors.EVENT_READ, time.monotonic())

    def _end(self, key, data):
        self.selector.unregister(key.fileobj)
        key.fileobj.close()
        self.answers.append(data)
        self.longest_s = max(self.longest_s, time.monotonic() - key.data)

    def _hear(self, key):
        with contextlib.suppress(BlockingIOError):
            try:
                self._end(key, key.fileobj.recv(4096))
            except ConnectionError:
                self._end(key, b"")

    def _run(self):
        for i in range(self.n):
            self._open(i)
        next_s = time.monotonic() + DRIBBLE_S
        while self.selector.get_map():
            for key, _ in self.selector.select(max(0, next_s - time.monotonic())):
                self._hear(key)
            if time.monotonic() < next_s:
                continue
            next_s = time.monotonic() + DRIBBLE_S
            for key in list(self.selector.get_map().values()):
                with contextlib.suppress(OSError):
                    key.fileobj.send(b"x")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()
        self.selector.close()


def ask_all(stack, world, logins):
    """Every client asks N_ASKED times and is answered right; how long each took, sorted."""
    def client(login):
        api, took = Api(stack.url), []
        for _ in range(N_ASKED):
            began = time.monotonic()
            answer = api.get("/api/comments/?login=" + urllib.parse.quote(login, safe=""),
                             Cache_Control="no-cache", Prefer="wait=30")
            took.append(time.monotonic() - began)
            assert answer.status == 200, answer
            assert answer.content == as_json(rows.COMMENTS, world.comments(login)), login
        return took

    return sorted(sum(at_once(client, logins, N_CLIENTS), []))


def told(name, took):
    at = lambda share: took[min(len(took) - 1, int(len(took) * share))] * 1000  # noqa: E731
    print(f"{name}: p50 {at(.5):.1f} ms, p99 {at(.99):.1f} ms, {len(took)} answers")


def test_a_thousand_slow_connections_beside_others(start_stack, world, logins):
    stack = start_stack(n_workers=1, gateway={"TALLY_REQUEST_TIMEOUT_MS": TOTAL_MS})
    ask_all(stack, world, logins)
    told("alone", ask_all(stack, world, logins))
    with SlowOnes(stack.port, N_SLOW) as slow:
        wait_until(lambda: metric(stack, "tally_http_connections") >= N_SLOW / 2, 60,
                   "the slow ones are there")
        told(f"beside {N_SLOW} slow connections", ask_all(stack, world, logins))
    assert len(slow.answers) == N_SLOW
    # Cut, or refused; never served.
    assert all(b" 200 " not in answer for answer in slow.answers)
    print(f"the longest was there for {slow.longest_s:.1f} s of {TOTAL_MS / 1000:.0f}")
    wait_until(lambda: metric(stack, "tally_http_connections") <= N_CLIENTS + 2, 30,
               "they are all gone")
    assert metric(stack, "tally_http_reaped_total") >= N_SLOW * 0.9


def test_without_descriptors_others_wait_and_are_answered_afterwards(start_stack, world, logins):
    """The gateway may open FILES files, and the flood would take more."""
    stack = start_stack(n_workers=1, gateway={"TALLY_IDLE_TIMEOUT_MS": 1000}, gateway_files=FILES)
    ask_all(stack, world, logins[:1])
    with contextlib.ExitStack() as flood:
        for _ in range(N_FLOOD):
            connection = flood.enter_context(socket.socket())
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", stack.port))
        stack.gateway.wait_for("cannot accept connections", 30)
        assert stack.gateway.process.poll() is None
        # Those that only sit there are closed in their time, and make room.
        ask_all(stack, world, logins[:1])
    began = time.monotonic()
    ask_all(stack, world, logins)
    print(f"{N_CLIENTS * N_ASKED} answers within {time.monotonic() - began:.1f} s of the flood")
    wait_until(stack.is_ready, 30, "it is ready")
    job = Api(stack.url).submit("comments", {"login": logins[0]})
    assert Api(stack.url).final(job["id"])["state"] == "succeeded"
