"""HTTP as bytes: connections on which anything can be said, and answers read strictly."""

import contextlib
import re
import socket

LONG_S = 20
REFUSED = (400, 411, 413, 414, 417, 431, 501, 505)
JSON = b'{"dataset":"comments","params":{"login":"vladimir"}}'
LENGTH, SIZE = b"%d" % len(JSON), b"%x" % len(JSON)  # of it: of a body, of a chunk


# ---- requests ------------------------------------------------------------------------------------

def post(*lines, body=JSON, version=b"HTTP/1.1"):
    head = b"\r\n".join([b"POST /v1/jobs " + version, b"Host: t",
                         b"Content-Type: application/json", *lines])
    return head + b"\r\n\r\n" + body


def length(text, **more):
    return post(b"Content-Length: " + text, **more)


def coding(text, **more):
    return post(b"Transfer-Encoding: " + text, body=chunk(), **more)


def chunk(size=SIZE, data=JSON + b"\r\n", last=b"0\r\n\r\n"):
    return size + b"\r\n" + data + last


def chunks(**parts):
    return post(b"Transfer-Encoding: chunked", body=chunk(**parts))


def get(*lines, line=b"GET /livez HTTP/1.1", host=b"Host: t"):
    return b"\r\n".join([line, *([host] if host else []), *lines]) + b"\r\n\r\n"


# ---- connections ---------------------------------------------------------------------------------

@contextlib.contextmanager
def connected(stack, timeout=LONG_S):
    with socket.create_connection(("127.0.0.1", stack.port), timeout=timeout) as connection:
        yield connection


def read_all(connection):
    """Until the other side closes; a reset counts."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            data += piece
    return data


def send(connection, data):
    """As much as the other side takes before it hangs up."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(data)


def send_and_read_all(stack, data):
    with connected(stack) as connection:
        send(connection, data)
        return read_all(connection)


def chunked_body(data):
    """The body of an answer in chunks, and what stands behind it."""
    body = b""
    while True:
        size, data = data.split(b"\r\n", 1)
        n = int(size, 16)
        body, end, data = body + data[:n], data[n:n + 2], data[n + 2:]
        assert end == b"\r\n", "a chunk that does not end"
        if n == 0:
            return body, data


def split_answers(data):
    """All answers in what was read from a connection: status, headers, body.  Behind one that
    closes there is none (libmicrohttpd writes the head of some refusals twice: the second is what
    the first calls a body)."""
    answers = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, head
        line, *fields = head.split(b"\r\n")
        status = int(re.fullmatch(rb"HTTP/1\.[01] (\d{3}) [ -~]*", line)[1])
        headers = {name.lower().decode(): value.strip().decode("latin-1")
                   for name, value in (field.split(b":", 1) for field in fields)}
        if status == 100:
            continue
        if headers.get("transfer-encoding") == "chunked":
            body, data = chunked_body(data)
        else:
            n = int(headers["content-length"])
            body, data = data[:n], data[n:]
            assert len(body) == n, "an answer that is cut off"
        answers.append((status, headers, body))
        if headers.get("connection") == "close":
            assert b"HTTP/" not in data, data
            break
    return answers
