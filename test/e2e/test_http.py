"""What arrives on the wire, byte by byte: refused, cut off, or answered."""

import contextlib
import http.client
import socket
import threading
import time

import pytest

from harness import Topic, is_problem, locked, wait_until
from raw import connected, read_all

GOOD = b"GET /api/comments/?login=vladimir HTTP/1.1\r\nHost: tally\r\n\r\n"


def status_of(data):
    return int(data.split(b" ", 2)[1])


def send_and_read_all(stack, data):
    with connected(stack) as connection:
        connection.sendall(data)
        return read_all(connection)


@pytest.mark.parametrize("head", [
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    b"Content-Length: 4\r\nContent-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: gzip, chunked, identity\r\n",
])
def test_ambiguous_framing_is_refused_and_the_connection_closed(stack, head):
    """A second request behind it is never taken for one (RFC 9112, section 11.2)."""
    data = send_and_read_all(stack, b"GET /api/comments/?login=vladimir HTTP/1.1\r\nHost: t\r\n"
                             + head + b"\r\n0\r\n\r\n" + GOOD)
    assert status_of(data) in (400, 501), data
    assert b"200 OK" not in data and b'"data"' not in data, data


@pytest.mark.parametrize("target", [
    b"/api/comments/?login=a%00b", b"/api/comments/?login=a%0", b"/api/comments/?login=%zz",
    b"/api/comments/?login=%", b"/api/comments/?login=%ff", b"/api/comments/?login=%c0%80",
    b"/api/comments/?login=%ed%a0%80", b"/api/%00/?login=vladimir",
    b"/api/comments/?login=a\x00b",
])
def test_a_malformed_target_is_400(stack, target):
    data = send_and_read_all(stack, b"GET " + target + b" HTTP/1.1\r\nHost: t\r\n"
                             b"Connection: close\r\n\r\n")
    assert status_of(data) == 400, data


def test_too_long_a_target_is_414(stack):
    data = send_and_read_all(stack, b"GET /api/comments/?login=" + b"x" * 20_000
                             + b" HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
    assert status_of(data) == 414, data[:500]


def test_too_many_headers_are_431(stack):
    data = send_and_read_all(stack, GOOD[:-2] + b"X-Filler: " + b"x" * 60_000 + b"\r\n\r\n")
    assert status_of(data) in (431, 413), data[:500]


@pytest.mark.parametrize("line", [b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
                                  b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_ends_its_connection_only(stack, line):
    with connected(stack) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        data = read_all(connection)
    assert not data or status_of(data) in (400, 505), data
    assert stack.get("/livez").status_code == 200


def test_requests_in_a_row_on_one_connection_are_answered_in_order(stack):
    with connected(stack) as connection:
        logins = ["vladimir", "nobody", "yanina", "natalya"]
        connection.sendall(b"".join(GOOD.replace(b"vladimir", login.encode())
                                    for login in logins))
        answers = []
        with connection.makefile("rb") as stream:
            for _ in logins:
                answer = http.client.HTTPResponse(KeepOpen(stream), method="GET")
                answer.begin()
                answers.append(answer.read().decode())
    for login, answer in zip(logins, answers, strict=True):
        assert (f'"user_login":"{login}"' in answer) == (login != "nobody"), answers


class KeepOpen:
    """A stream that HTTPResponse reads one answer from, and does not close."""

    def __init__(self, stream):
        self.stream = stream

    def makefile(self, _mode):
        return self

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def close(self):
        pass


def test_clients_that_leave_early_take_nothing_with_them(stack, services):
    n = 28
    with Topic(services.kafka, "tally.requests.sync") as topic, locked(services.db2, "logs"):
        for i in range(n):
            with connected(stack) as connection:
                connection.sendall(GOOD.replace(b" HTTP", b"&since=2000-01-%02d HTTP" % (i + 1)))
                wait_until(lambda i=i: topic.added() > i, 30, "the request is in Kafka")
    answer = stack.ask("comments", login="vladimir")
    assert answer.status_code == 200, answer.text


def test_a_client_that_leaves_does_not_take_the_answer_of_another(stack, services):
    """Both wait for one flight; the one who began it leaves."""
    with Topic(services.kafka, "tally.requests.sync") as topic, locked(services.db2, "logs"):
        leaver = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
        leaver.sendall(GOOD)
        wait_until(lambda: topic.added() >= 1, 30, "the request is in Kafka")
        stayer = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
        stayer.sendall(GOOD)
        leaver.close()
    with stayer:
        answer = http.client.HTTPResponse(stayer, method="GET")
        answer.begin()
        assert answer.status == 200
        assert b'"user_login":"vladimir"' in answer.read()


@pytest.mark.parametrize("begin", [b"GET /api/comments/?login=", GOOD[:-2] + b"X-Slow: ",
                                   b"POST /v1/datasets HTTP/1.1\r\nHost: t\r\n"
                                   b"Content-Length: 60000\r\n\r\n"])
def test_a_slow_request_is_cut(start_stack, begin):
    """A byte now and then does not keep a connection: the limit is on the whole request."""
    stack = start_stack(n_workers=0, gateway={"TALLY_REQUEST_TIMEOUT_MS": 500})
    began = time.monotonic()
    with connected(stack) as connection:
        connection.settimeout(0.05)
        data = begin
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                assert time.monotonic() - began < 10, "the connection is still open"
                connection.sendall(data)
                data = b"x"
                try:
                    piece = connection.recv(4096)
                except TimeoutError:
                    continue
                if not piece:
                    break
    assert stack.get("/livez").status_code == 200


def test_past_the_waiters_callers_are_sent_away(start_stack, services):
    """With room for two, the third is told at once to come again."""
    stack = start_stack(n_workers=0, gateway={"TALLY_WAITERS_MAX": 2})
    with Topic(services.kafka, "tally.requests.sync") as topic, locked(services.db2, "logs"):
        threads = [threading.Thread(target=stack.ask, args=("comments", 3), kwargs={"login": name})
                   for name in ("vladimir", "yanina")]
        for thread in threads:
            thread.start()
        wait_until(lambda: topic.added() >= 2, 30, "two requests are in Kafka")
        began = time.monotonic()
        answer = stack.ask("comments", login="natalya")
        assert time.monotonic() - began < 1
        assert answer.status_code == 503
        is_problem(answer, "saturated")
    for thread in threads:
        thread.join()
