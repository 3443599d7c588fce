"""Jobs over HTTP, as fast as Python asks: one connection a thread, no sessions, no redirects."""

import hashlib
import http.client
import itertools
import json
import threading
import time
import urllib.parse

import rows
from harness import as_json, wait_until

FINAL = ("succeeded", "failed", "cancelled")
N_CLIENTS = 16
ORACLES = {"comments": (rows.COMMENTS, rows.World.comments),
           "general": (rows.GENERAL, rows.World.general)}
LONG_S = 25  # of one wait


class Answer:
    def __init__(self, status, headers, content):
        self.status = status
        self.headers = headers
        self.content = content

    def json(self):
        return json.loads(self.content)

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.content[:500]!r}"


class Api:
    """A gateway at a URL.  Any thread."""

    def __init__(self, url, key=None):
        self.url = url
        self.host = urllib.parse.urlsplit(url).netloc
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.local = threading.local()

    def call(self, method, path, body=None, timeout=60, **headers):
        """Asks once; a connection that has gone meanwhile is a ConnectionError."""
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self.host, timeout=timeout)
            self.local.connection = connection
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            named.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, self.headers | named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.local.connection = None
            raise ConnectionError(str(error)) from error

    def get(self, path, **headers):
        return self.call("GET", path, **headers)

    def post(self, dataset, params, body=None, **headers):
        return self.call("POST", "/v1/jobs",
                         {"dataset": dataset, "params": params} | (body or {}), **headers)

    def submit(self, dataset, params, body=None, **headers):
        """The document of a job that was accepted."""
        answer = self.post(dataset, params, body, **headers)
        assert answer.status == 202, answer
        document = answer.json()
        assert answer.headers["Location"] == f"/v1/jobs/{document['id']}", answer
        assert int(answer.headers["Retry-After"]) > 0
        return document

    def job(self, id, wait=None):
        answer = self.get(f"/v1/jobs/{id}", **({"Prefer": f"wait={wait}"} if wait else {}))
        assert answer.status == 200, answer
        return answer.json()

    def final(self, id, timeout=60):
        """The document of a job once it is final."""
        deadline = time.monotonic() + timeout
        while True:
            document = self.job(id, LONG_S)
            if document["final"]:
                assert document["state"] in FINAL, document
                return document
            assert time.monotonic() < deadline, f"not final within {timeout} s: {document}"

    def foreign(self, id, timeout=60):
        """The same of a job of a foreign producer, which is known only once it is recorded."""
        wait_until(lambda: self.get(f"/v1/jobs/{id}").status == 200, timeout, "it is recorded")
        return self.final(id, timeout)

    def result(self, id, query=""):
        return self.get(f"/v1/jobs/{id}/result{query}")

    def is_ready(self):
        try:
            return self.get("/readyz").status == 200
        except ConnectionError:
            return False


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def wait_for_gateways(*apis):
    for api in apis:
        wait_until(api.is_ready, 60, f"{api.url} is ready")


# ---- what is asked -------------------------------------------------------------------------------

def expected(world, dataset, login):
    columns, answer = ORACLES[dataset]
    return as_json(columns, answer(world, login))


def some_jobs(world, n):
    """n datasets and logins, every login with rows of its own."""
    logins = [login for login in world.ids if world.general(login)]
    datasets = itertools.cycle(ORACLES)
    return [(next(datasets), login) for login in itertools.islice(itertools.cycle(logins), n)]
