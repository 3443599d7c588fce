"""The newest ClickHouse engine to be had (chdb) behind ClickHouse's HTTP interface, for tests.

    python clickhouse.py FOLDER [USER PASSWORD [CERTIFICATE]]

CERTIFICATE is a file with a key and a certificate, for TLS.  Prints the port it listens on, on
127.0.0.1, and serves until its standard input ends.  One engine, one query at a time: what is
measured here is the engine, not a server under load.  The names of headers, settings and parameters,
the form of multipart bodies and of errors are those of the server."""

import base64
import email.parser
import email.policy
import http.server
import itertools
import os
import re
import ssl
import sys
import tempfile
import threading
import urllib.parse
import zlib

import chdb.session

READS = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|WITH|DESCRIBE|EXISTS|SHOW|\()\b", re.I)
HEEDED = {"readonly", "query", "enable_http_compression"}
IGNORED = {"cancel_http_readonly_queries_on_client_close", "wait_end_of_query", "query_id"}
# What the engine is told, with what it is when a request says nothing.
PASSED = {"max_execution_time": "0", "session_timezone": "", "max_threads": "0",
          "mutations_sync": "0", "max_partitions_per_insert_block": "100"}
CHUNK = 16384


class Engine:
    def __init__(self, folder):
        self.session = chdb.session.Session(folder)
        self.lock = threading.Lock()
        self.settings = {}
        self.n_queries = itertools.count()

    def _set(self, settings):
        for name, value in settings.items():
            if self.settings.get(name) != value:
                self.session.query(f"SET {name} = '{value}'")
                self.settings[name] = value

    def run(self, text, format, params, settings, database):
        with self.lock:
            next(self.n_queries)
            self._set(settings)
            if self.settings.get("database") != database:
                self.session.query(f"USE `{database}`")
                self.settings["database"] = database
            return self.session.query(text, format, params=params).bytes()

    def insert(self, text, body, settings, database):
        """INSERT INTO ... FORMAT ..., whose rows are the body of the request."""
        statement, _, format = text.rpartition("FORMAT")
        with tempfile.NamedTemporaryFile() as file:
            file.write(body)
            file.flush()
            return self.run(f"{statement} FROM INFILE '{file.name}' FORMAT {format}", "TSV", {},
                            settings, database)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, *_):
        pass

    def do_GET(self):
        if urllib.parse.urlsplit(self.path).path == "/ping":
            self.answer(200, b"Ok.\n")
        else:
            self.fail(405, 164, "Cannot execute query in readonly mode. (READONLY)")

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def fields(self):
        """Everything of the URL and of a form, and the body when that is none."""
        fields = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query,
                                             keep_blank_values=True))
        body, kind = self.body(), self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/form-data"):
            return fields, body
        boundary = kind.partition("boundary=")[2].encode()
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, value = part[2:-2].partition(b"\r\n\r\n")
            head = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head)
            if len(value) > 128 << 10:
                raise ValueError("Code: 1000. DB::Exception: HTML Form Exception: Field value too"
                                 " long. (POCO_EXCEPTION)")
            name = head["Content-Disposition"].params["name"]
            fields[name] = value.decode("utf-8", "surrogateescape")
        return fields, b""

    def do_POST(self):
        try:
            fields, body = self.fields()
        except ValueError as error:
            return self.refuse(error)
        user, key = self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key")
        basic = self.headers.get("Authorization", "").partition("Basic ")[2]
        if basic:
            user, _, key = base64.b64decode(basic).decode().partition(":")
        if self.server.credentials and (user, key) != self.server.credentials:
            return self.fail(403, 516, f"{user}: Authentication failed. (AUTHENTICATION_FAILED)")
        unknown = [name for name in fields if name not in PASSED.keys() | HEEDED | IGNORED
                   and not name.startswith("param_")]
        if unknown:
            return self.fail(404, 115, f"Setting {unknown[0]} is neither a builtin setting nor"
                                       " started with the prefix. (UNKNOWN_SETTING)")
        return self.run(fields, body)

    def run(self, fields, body):
        engine = self.server.engine
        text = fields.get("query", "")
        params = {name[6:]: value for name, value in fields.items() if name.startswith("param_")}
        settings = {name: fields.get(name, usual) for name, usual in PASSED.items()}
        database = self.headers.get("X-ClickHouse-Database", "default")
        format = self.headers.get("X-ClickHouse-Format", "TabSeparated")
        try:
            if text.lstrip().upper().startswith("INSERT") and body:
                return self.answer(200, engine.insert(text, body, settings, database))
            text = "\n".join(filter(None, [text, body.decode()]))
            if fields.get("readonly", "0") != "0" and not READS.match(text):
                return self.fail(500, 164, "Cannot execute query in readonly mode. (READONLY)")
            rows = engine.run(text, format, params, settings, database)
        except Exception as error:
            return self.refuse(error)
        zipped = fields.get("enable_http_compression") == "1" and \
            "gzip" in self.headers.get("Accept-Encoding", "")
        return self.answer(200, rows, zipped)

    def refuse(self, error):
        text = str(error)
        found = re.match(r"Code: (\d+)\. DB::Exception: (.*)", text, re.S)
        if found:
            self.fail(500, int(found[1]), found[2])
        else:
            self.fail(500, 1002, text)

    def fail(self, status, code, text):
        body = f"Code: {code}. DB::Exception: {text} (version 26.9.2.1 (official build))\n"
        self.answer(status, body.encode(errors="replace"),
                    headers={"X-ClickHouse-Exception-Code": str(code)})

    def answer(self, status, body, zipped=False, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if zipped:
            self.send_header("Content-Encoding", "gzip")
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            body = packer.compress(body) + packer.flush()
        self.send_header("X-ClickHouse-Exception-Tag", "dngjzjnxkvlwkeua")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body), CHUNK):
            piece = body[at:at + CHUNK]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder, credentials):
        super().__init__(("127.0.0.1", 0), Handler)
        self.engine = Engine(folder)
        self.credentials = credentials

    def handle_error(self, request, client_address):
        """A client may go whenever it likes."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    server = Server(sys.argv[1], tuple(sys.argv[2:4]))
    if sys.argv[4:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4])
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    os._exit(0)  # the engine's own threads need no goodbye


if __name__ == "__main__":
    main()
