"""Clients that leave, do not listen, or would write into the log; each test has its own gateway."""

import json
import re
import socket
import struct
import time
import urllib.parse

import pytest

from harness import Topic, wait_until
from jobs import Api
from keys import metric
from raw import (LENGTH, REFUSED, chunks, connected, get, post, read_all, send, send_and_read_all,
                 split_answers)


NASTY = ["%0a", "%0d%0a", "%1b[2J", "%c2%9b31m", "%e2%80%a8", "%22%7d%0a%7b", "%5cn", "%7f",
         "level=error event=forged"]


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_whatever_is_asked_a_line_of_the_log_stays_a_line(start_stack, form):
    settings = {"TALLY_LOG_FORMAT": form, "TALLY_LOG_LEVEL": "debug"}
    stack = start_stack(n_workers=1, gateway=settings, worker=settings)
    api = Api(stack.url)
    for text in NASTY:
        text = text.replace(" ", "%20")
        for path in (f"/api/comments/?login={text}", f"/api/{text}/?login=a", f"/{text}",
                     f"/v1/jobs/{text}", f"/api/comments/?login=a&{text}=1"):
            assert api.get(path, Idempotency_Key="a").status < 500
        api.post("comments", {"login": urllib.parse.unquote(text)})
        send_and_read_all(stack, get(b"X\x1b: y", line=b"GET /%s HTTP/1.1" % text.encode()))
    for service in (stack.gateway, *stack.workers):
        service.stop()
        for line in service.lines[:-1]:  # the last is the harness's
            assert not re.search("[\x00-\x1f\x7f-\x9f\u2028]", line.replace("\u2028", "")), line
            if form == "json":
                assert {"ts", "level", "event"} <= json.loads(line).keys()
            else:
                assert re.match(r"ts=\S+ level=\w+ event=(?!forged)", line), line


# ---- those who leave -----------------------------------------------------------------------------

def leave(connection, how):
    if how == "half":
        connection.shutdown(socket.SHUT_WR)
        return
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("how", ["close", "half", "reset"])
def test_who_leaves_while_he_waits_frees_his_place(start_stack, how):
    stack = start_stack(n_workers=0)
    with connected(stack) as connection:
        connection.sendall(get(b"Prefer: wait=30", line=b"GET /api/comments/?login=a HTTP/1.1"))
        wait_until(lambda: metric(stack, "tally_waiters") == 1, 20, "he waits")
        leave(connection, how)
        began = time.monotonic()
        wait_until(lambda: metric(stack, "tally_waiters") == 0, 15, "his place is free")
        print(f"{how}: free after {time.monotonic() - began:.2f} s")
        assert metric(stack, "tally_http_gone_total") == 1
        if how == "half":
            assert read_all(connection) == b""


def test_a_request_that_is_cut_off_by_its_sender_is_none(stack, services):
    """Half of a body, and the sender says that there is no more."""
    with Topic(services.kafka, "tally.requests.jobs") as topic:
        for data in (post(b"Content-Length: 500"), chunks(last=b""), chunks(last=b"0\r\n"),
                     post(b"Content-Length: " + LENGTH)[:-1]):
            with connected(stack) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answers = split_answers(read_all(connection))
            assert all(status in REFUSED for status, _, _ in answers), answers
        assert topic.added() == 0


def test_who_does_not_take_his_answers_is_cut_and_the_others_are_not(start_stack):
    stack = start_stack(n_workers=0, gateway={"TALLY_STALL_TIMEOUT_MS": 500})
    with connected(stack) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        send(connection, get(line=b"GET /openapi.json HTTP/1.1") * 200)
        # By us, or by the kernel, which was told of the same limit.
        wait_until(lambda: metric(stack, "tally_http_connections") == 1, 30, "only who asks is left")
        # The kernel would go on to offer what it holds, 8 KiB at a time; to whom speaks, it says it.
        send(connection, b"X")
        assert len(read_all(connection)) < 200 * len(stack.get("/openapi.json").content)
