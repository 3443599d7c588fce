"""Requests that are made to be misread: each is refused and its connection ended, or it is one
request to everybody.  What the parser alone can tell is in test/unit/http_server.c."""

import pytest

from harness import Stack, Topic
from jobs import Api
from raw import (JSON, LENGTH as N, REFUSED, SIZE as X, chunk, chunks, coding, get, length, post,
                 send_and_read_all, split_answers)

SECOND = b"GET /livez HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"

# Nobody may take these for one request and another one behind it.
AMBIGUOUS = {
    "a length with a plus": length(b"+" + N),
    "a length with a minus": length(b"-" + N),
    "a length in hex": length(b"0x" + X),
    "a length with a fraction": length(N + b".0"),
    "a length with an exponent": length(b"1e1"),
    "a length with a semicolon": length(N + b";x"),
    "a list of equal lengths": length(N + b"," + N),
    "a list of other lengths": length(N + b", 0"),
    "an empty length": length(b""),
    "a length with a blank inside": length(N[:1] + b" " + N[1:]),
    "a length of a digit that is not ASCII": length(b"\xc2\xb2"),
    "a length past 64 bits": length(b"%d" % ((1 << 64) + len(JSON))),
    "a length past int64": length(b"%d" % (1 << 63)),
    "a length with a vertical tab": length(b"\x0b" + N),
    "equal lengths in other letters": post(b"content-length: " + N, b"CONTENT-LENGTH: " + N),
    "a length with a tab before the colon": post(b"Content-Length\t: " + N),
    "a length behind a folded line": post(b"X: y\r\n Content-Length: 0", b"Content-Length: " + N),
    "a blank before the first header": b"POST /v1/jobs HTTP/1.1\r\n Host: t\r\nContent-Length: "
                                       + N + b"\r\n\r\n" + JSON,
    "a length and a coding": post(b"Content-Length: " + N, b"Transfer-Encoding: chunked",
                                  body=chunk()),
    "a coding that is none and a length": post(b"Transfer-Encoding: x", b"Content-Length: " + N),
    "an empty coding and a length": post(b"Transfer-Encoding:", b"Content-Length: " + N),
    "a coding with a parameter": coding(b"chunked;q=1"),
    "a coding and a comma": coding(b"chunked,"),
    "a comma and a coding": coding(b",chunked"),
    "a coding twice in a line": coding(b"chunked, chunked"),
    "a coding that is identity": coding(b"identity"),
    "a coding in quotes": coding(b'"chunked"'),
    "a coding with a vertical tab": coding(b"\x0bchunked"),
    "a coding with a NUL": coding(b"chunked\0"),
    "a coding of another letter": coding(b"chun\xe2\x84\xaaed"),
    "a coding on a folded line": coding(b"\r\n chunked"),
    "a coding with a blank before the colon": post(b"Transfer-Encoding : chunked", body=chunk()),
    "a coding with a NUL in its name": post(b"Transfer-Encoding\0: chunked", body=chunk()),
    "a coding behind a bare line feed": post(b"X: y\nTransfer-Encoding: chunked", body=chunk()),
    "a coding behind a bare carriage return": post(b"X: y\rTransfer-Encoding: chunked",
                                                   body=chunk()),
    "a coding and another": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
                                 body=chunk()),
    "a coding of HTTP/1.0": coding(b"chunked", version=b"HTTP/1.0"),
    "a chunk past 64 bits": chunks(size=b"%x" % ((1 << 64) + len(JSON))),
    "the largest chunk": chunks(size=b"F" * 16),
    "a chunk with a minus": chunks(size=b"-" + X),
    "a chunk with a plus": chunks(size=b"+" + X),
    "a chunk with 0x": chunks(size=b"0x" + X),
    "a chunk with a blank before it": chunks(size=b" " + X),
    "a chunk without a size": chunks(size=b""),
    "a chunk of no digit": chunks(size=b"g"),
    "a chunk with a NUL": chunks(size=X + b"\0"),
    "a chunk with a blank behind it": chunks(size=X + b" "),
    "a chunk with a comma": chunks(size=X + b","),
    "a chunk that goes on": chunks(data=JSON + b"XX"),
    "a chunk without an end": chunks(data=JSON),
    "a trailer that is no header": chunks(last=b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
    "a tab for a blank in the first line": get(line=b"GET\t/livez\tHTTP/1.1"),
    "a blank before the method": get(line=b" GET /livez HTTP/1.1"),
    "a word behind the version": get(line=b"GET /livez HTTP/1.1 x"),
    "a carriage return behind the version": get(line=b"GET /livez HTTP/1.1\r"),
    "a version with a zero": get(line=b"GET /livez HTTP/01.1"),
    "a version of more digits": get(line=b"GET /livez HTTP/1.10"),
    "a version that is none": get(line=b"GET /livez HTTP/x.y"),
    "HTTP/0.9": b"GET /livez\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    "a tunnel": get(line=b"CONNECT t:80 HTTP/1.1"),
    "an address as the target": get(line=b"GET http://t/livez HTTP/1.1"),
    "another's address as the target": get(line=b"GET http://other/livez HTTP/1.1"),
    "two hosts in a line": get(host=b"Host: t, other"),
    "a host with a user": get(host=b"Host: user@t"),
    "a host with a path": get(host=b"Host: t/x"),
    "a host with a NUL": get(host=b"Host: t\0"),
    "a host of other letters": get(host=b"Host: t\xc3\xa4"),
    "a header without a name": get(b": x"),
    "a header with a blank in its name": get(b"X Y: z"),
    "a header without a colon": get(b"X"),
    "a DEL in a header": get(b"X: a\x7fb"),
}

# One request to everybody: its answer's status, and how many answers there are with that of SECOND.
CLEAR = {
    "zeros before a length": (length(b"000" + N), 202, 2),
    "a blank before a length": (length(b" \t" + N), 202, 2),
    "HTTP/1.0": (get(line=b"GET /livez HTTP/1.0"), 200, 1),
    "HTTP/1.0 that is kept": (get(b"Connection: keep-alive", line=b"GET /livez HTTP/1.0"), 200, 2),
    "HTTP/1.0 without a host": (get(line=b"GET /livez HTTP/1.0", host=None), 200, 1),
    "a connection that is to be closed": (get(b"Connection: close"), 200, 1),
    "a protocol to change to": (get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
                                    b"HTTP2-Settings: AAMAAABkAAQAAP__"), 200, 2),
    "bytes of other alphabets in a header": (get("X: ж\u00a0".encode()), 200, 2),
    "an empty host": (get(host=b"Host:"), 200, 2),
    "empty lines before it": (b"\r\n\r\n" + get(), 200, 2),
    "a body of a GET": (get(b"Content-Length: 3") + b"abc", 200, 2),
    "an unknown method": (get(line=b"BREW /livez HTTP/1.1"), 405, 2),
    # In chunks it is the last of its connection.
    "a coding in other letters": (coding(b"ChUnKeD"), 202, 1),
    "a tab before a coding": (coding(b"\tchunked"), 202, 1),
    "a chunk's extension": (chunks(size=X + b';a=b;c="d e"'), 202, 1),
    "upper-case hex": (chunks(size=X.upper()), 202, 1),
    "zeros before a chunk's size": (chunks(size=b"0000" + X), 202, 1),
    "a last chunk of more zeros": (chunks(last=b"000\r\n\r\n"), 202, 1),
    "a trailer": (chunks(last=b"0\r\nX-Checksum: y\r\n\r\n"), 202, 1),
    "a length in a trailer": (chunks(last=b"0\r\nContent-Length: 500\r\n\r\n"), 202, 1),
    "a coding in a trailer": (chunks(last=b"0\r\nTransfer-Encoding: x\r\n\r\n"), 202, 1),
    # Proxies do not agree about these, so nothing behind them may be read.
    "a chunk's line with a bare line feed": (post(
        b"Transfer-Encoding: chunked", body=X + b"\n" + JSON + b"\r\n0\r\n\r\n"), 202, 1),
    "a chunk that ends with a bare line feed": (chunks(data=JSON + b"\n"), 202, 1),
    "an extension with a bare line feed": (post(
        b"Transfer-Encoding: chunked", body=X + b";\n" + JSON + b"\r\n0\r\n\r\n"), 202, 1),
    "an extension with a carriage return": (chunks(size=X + b";a\rb"), 202, 1),
    "an extension with a NUL": (chunks(size=X + b";a\0b"), 202, 1),
    "the last chunk with bare line feeds": (chunks(last=b"0\n\n"), 202, 1),
    "a trailer with a bare line feed": (chunks(last=b"0\r\nX: y\n\r\n"), 202, 1),
    "a trailer on a folded line": (chunks(last=b"0\r\nX: y\r\n z\r\n\r\n"), 202, 1),
    "a trailer with a blank before the colon": (chunks(last=b"0\r\nX : y\r\n\r\n"), 202, 1),
}


@pytest.fixture(scope="module")
def stack(services):
    """One that does not wait long for the rest of a request."""
    with Stack(services, n_workers=1, gateway={"TALLY_REQUEST_TIMEOUT_MS": 2000}) as stack:
        yield stack


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_what_others_could_read_otherwise_ends_its_connection(stack, what):
    """With an answer that refuses it, or without one; never with two."""
    answers = split_answers(send_and_read_all(stack, AMBIGUOUS[what] + SECOND))
    assert len(answers) <= 1 and all(status in REFUSED for status, _, _ in answers), answers


@pytest.mark.parametrize("what", CLEAR)
def test_what_is_one_request_is_answered_once(stack, what):
    data, status, n = CLEAR[what]
    answers = split_answers(send_and_read_all(stack, data + SECOND))
    assert [status for status, _, _ in answers] == [status, 200][:n], answers


# ---- too much of everything ----------------------------------------------------------------------

LONG = b"x" * 300_000
TOO_MUCH = {
    "a target": (get(line=b"GET /api/comments/?login=" + LONG + b" HTTP/1.1"), (414, 431)),
    "a target of many parameters": (get(line=b"GET /?" + b"a&" * 60_000 + b" HTTP/1.1"),
                                    (414, 431)),
    "a header": (get(b"X: " + LONG), (431,)),
    "a header's name": (get(LONG + b": x"), (431,)),
    "many headers": (get(*[b"X%d: y" % i for i in range(5000)]), (431,)),
    "a method": (get(line=LONG + b" /livez HTTP/1.1"), (400, 414, 431, 501)),
    "a line without an end": (LONG, (400, 414, 431)),
    "a body": (post(b"Content-Length: 65537", body=b"x" * 65537), (413,)),
    "a body that is announced": (post(b"Content-Length: 99999999999", body=b"x"), (413,)),
    "a body in chunks": (post(b"Transfer-Encoding: chunked", body=b"8000\r\n" + LONG[:0x8000]
                              + b"\r\n8000\r\n" + LONG[:0x8000] + b"\r\n1\r\nx\r\n0\r\n\r\n"),
                         (413,)),
    "an extension of a chunk": (chunks(size=X + b";" + LONG), (400, 413, 431)),
    "a trailer": (chunks(last=b"0\r\nX: " + LONG + b"\r\n\r\n"), (400, 413, 431)),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_too_much_is_refused_and_the_rest_not_read(stack, what):
    data, statuses = TOO_MUCH[what]
    answers = split_answers(send_and_read_all(stack, data + SECOND))
    # Who still sends may be reset before the answer is read.
    assert len(answers) <= 1 and all(status in statuses for status, _, _ in answers), answers
    assert stack.get("/livez").status_code == 200


# ---- contents ------------------------------------------------------------------------------------

def in_json(text):
    return b'{"dataset":"comments","params":{"login":' + text + b"}}"


BODIES = {
    "a bomb of lists": in_json(b"[" * 60_000),
    "a bomb of objects": b'{"a":' * 13_000,
    "a bomb in a label": b'{"dataset":"comments","labels":{"a":' + b"[" * 9 + b"]" * 9 + b"}}",
    "a number past double": in_json(b"1e999"),
    "a number past int64": in_json(b"9223372036854775808"),
    "a number of 60,000 digits": in_json(b"1" * 60_000),
    "an escaped NUL": in_json(b'"a\\u0000b"'),
    "a NUL": in_json(b'"a\0b"'),
    "a NUL behind the end": in_json(b'"a"') + b"\0",
    "half a surrogate pair": in_json(b'"\\ud800"'),
    "an encoded surrogate": in_json(b'"\xed\xa0\x80"'),
    "an overlong letter": in_json(b'"\xc1\xa1"'),
    "a letter past the last": in_json(b'"\xf4\x90\x80\x80"'),
    "half a letter": in_json(b'"\xd0"'),
    "a name twice": b'{"dataset":"comments","params":{"login":"a","login":"b"}}',
    "a name twice, once escaped":
        b'{"dataset":"comments","params":{"login":"a","log\\u0069n":"b"}}',
    "a mark before it": b"\xef\xbb\xbf" + in_json(b'"a"'),
    "UTF-16": in_json(b'"a"').decode().encode("utf-16"),
    "not a number": in_json(b"NaN"),
    "infinity": in_json(b"-Infinity"),
    "two documents": in_json(b'"a"') * 2,
    "a login of 64 KiB": in_json(b'"' + b"x" * 65_000 + b'"'),
    "two million backslashes": in_json(b'"' + b"\\\\" * 32_000 + b'"'),
}
QUERIES = {
    "a number past int64": "/api/slow/?login=a&since=99999999999999999999",
    "a day that is not": "/api/comments/?login=a&since=2023-02-29",
    "a login that is too long": "/api/comments/?login=" + "x" * 257,
    "a name twice": "/api/comments/?login=a&login=b",
    "a name of control characters": "/api/comments/?login=a&%0d%0a%1b%5b31m=b",
    "a format of control characters": "/api/comments/?login=a&format=%0d%0aSet-Cookie:%20a=b",
    "a dataset of control characters": "/api/%0d%0aSet-Cookie:%20a=b/?login=a",
    "a path of dots": "/api/../../etc/passwd",
    "an id of control characters": "/v1/jobs/%0a%1b%c2%9b31m/result",
    "an id that is long": "/v1/jobs/" + "0" * 5000,
    "a cursor that is none": "/v1/jobs?cursor=%00",
    "a cursor that is long": "/v1/jobs?cursor=" + "A" * 5000,
}


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_no_request_is_4xx_and_not_published(stack, services, what):
    with Topic(services.kafka, "tally.requests.jobs") as topic:
        answer = Api(stack.url).call("POST", "/v1/jobs", BODIES[what])
        assert answer.status in (400, 413, 422), answer
        assert answer.json()["code"] in ("bad_request", "invalid_parameter", "body_too_large")
        assert topic.added() == 0


@pytest.mark.parametrize("what", QUERIES)
def test_a_query_that_is_no_request_is_4xx(stack, what):
    answer = Api(stack.url).get(QUERIES[what])
    assert answer.status in (400, 404, 422), answer
    assert "Set-Cookie" not in answer.headers
    assert answer.json()["status"] == answer.status


@pytest.mark.parametrize("form", ["json", "csv", "ndjson"])
def test_line_ends_in_a_parameter_make_no_header(stack, form):
    answer = Api(stack.url).get("/api/comments/?login=a%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0ax&format="
                                + form)
    assert answer.status == 200 and "Set-Cookie" not in answer.headers
    if form == "csv":
        assert answer.headers["Content-Disposition"] == "attachment; filename=comments.csv"
