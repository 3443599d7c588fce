"""What is left after a run, as plain data: the topics of the job lane, and the job store."""

import dataclasses
import hashlib
import json

import psycopg

from harness import read_topic

STORED = """SELECT j.id, j.state::text, j.dataset, j.params, j.partition, j.result_offset,
       encode(j.sha256, 'hex'), j.error,
       encode(sha256(string_agg(r.body, ''::bytea ORDER BY r.part)), 'hex')
  FROM jobs j LEFT JOIN results r ON (r.id, r.day, r.run) = (j.id, j.day, j.run)
 GROUP BY j.id, j.day"""


@dataclasses.dataclass
class Request:
    """Of an id in tally.requests.jobs; n messages."""
    dataset: str
    login: str
    label: str | None
    is_foreign: bool
    n: int = 1


@dataclasses.dataclass
class Result:
    """A complete one in tally.results."""
    state: str
    partition: int
    offset: int
    sha256: str   # of the body as it is there
    told: str | None  # what its header says
    code: str | None


@dataclasses.dataclass
class Stored:
    """A row of the job store."""
    state: str
    dataset: str | None
    login: str | None
    partition: int | None
    offset: int | None
    sha256: str | None  # of the row
    body: str | None    # of the body that is stored
    code: str | None


@dataclasses.dataclass
class History:
    """All that the checker judges."""
    calls: list           # as the driver wrote them
    expected: dict        # (dataset, login): hash of the rows
    requests: dict = dataclasses.field(default_factory=dict)  # id: Request
    results: dict = dataclasses.field(default_factory=dict)   # id: [Result], lowest offset first
    stored: dict = dataclasses.field(default_factory=dict)    # id: [Stored]
    read: dict = dataclasses.field(default_factory=dict)      # id: Result, as a reader met it first
    letters: list = dataclasses.field(default_factory=list)   # reasons of dead letters
    samples: list = dataclasses.field(default_factory=list)   # (at, name, pid, MiB, files)
    ends: list = dataclasses.field(default_factory=list)      # of our processes
    faults: list = dataclasses.field(default_factory=list)    # as the striker noted them
    lags: dict = dataclasses.field(default_factory=dict)      # what: messages left in the end
    n_open: int = 0   # operations that never ended
    n_begun: int = 0
    n_shed: int = 0   # operations for which there was no room


class Results:
    """Puts results together, by the rules of the README: in order, by run, lowest offset first."""

    def __init__(self):
        self.parts = {}

    def take(self, message):
        """(id, Result) when one is complete with this message, or None."""
        headers = {name: value.decode() for name, value in message.headers() or []}
        if "tally-state" not in headers:
            return None
        id, body = message.key().decode(), message.value() or b""
        if "tally-part" in headers:
            key = id, headers["tally-run"]
            gathered = self.parts.setdefault(key, [])
            if int(headers["tally-part"]) == 1:
                gathered.clear()
            gathered.append(body)
            if "tally-parts" not in headers:
                return None
            body = b"".join(self.parts.pop(key))
        return id, Result(headers["tally-state"], message.partition(), message.offset(),
                          hashlib.sha256(body).hexdigest(), headers.get("tally-sha256"),
                          headers.get("tally-error-code"))


def read_requests(servers, foreign_id):
    requests = {}
    for message in read_topic(servers, "tally.requests.jobs"):
        headers = {name: value.decode() for name, value in message.headers() or []}
        value = json.loads(message.value())
        is_foreign = "ce_subject" not in headers
        id = foreign_id(headers["ce_id"]) if is_foreign else headers["ce_subject"]
        if id in requests:
            requests[id].n += 1
            continue
        requests[id] = Request(value["dataset"], value["params"]["login"],
                               value.get("labels", {}).get("n"), is_foreign)
    return requests


def read_results(servers):
    results, parts = {}, Results()
    for message in read_topic(servers, "tally.results"):
        found = parts.take(message)
        if found:
            results.setdefault(found[0], []).append(found[1])
    for several in results.values():
        several.sort(key=lambda result: (result.partition, result.offset))
    return results


def read_letters(servers):
    return [dict(message.headers() or []).get("tally-reason", b"").decode()
            for message in read_topic(servers, "tally.dead-letters")]


def read_store(url):
    stored = {}
    with psycopg.connect(url) as connection:
        for id, state, dataset, params, partition, offset, sha256, error, body in \
                connection.execute(STORED):
            login = json.loads(params).get("login") if params else None
            code = json.loads(error).get("code") if error else None
            stored.setdefault(id, []).append(Stored(state, dataset, login, partition, offset,
                                                    sha256, body, code))
    return stored
