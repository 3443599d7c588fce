"""Who may ask: keys, tenants that see nothing of each other, reload."""

import concurrent.futures
import hashlib
import json
import os
import random
import signal
import socket
import uuid

import pytest

from conftest import JOB_SECRET
from harness import Stack, locked, run, wait_until
from jobs import Api
from keys import Keys, metric
from test_jobs_read import base32, job_id

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
N_GUESSES = 100_000
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys") / "keys")


@pytest.fixture(scope="module")
def site(services, keys):
    """Gateway and worker with two tenants that have no limits: (stack, one's API, the other's)."""
    one, other = keys.add("one"), keys.add("other")
    with Stack(services, n_workers=1, gateway={"TALLY_API_KEYS": keys.path}) as stack:
        yield stack, Api(stack.url, one), Api(stack.url, other)


def reload(stack, expected):
    n = len(stack.gateway.lines)
    stack.gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: any(expected in line for line in stack.gateway.lines[n:]), 10, expected)


def operations():
    """Method and path of every route, and whether it needs a key, as the OpenAPI document says."""
    with open("api/openapi.json", encoding="utf-8") as file:
        document = json.load(file)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, bool(operation["security"])


# ---- keys ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("authorization", [
    None, "Bearer", "Bearer ", "Bearer nothing", "Basic b25lOm9uZQ==", "tally_{key}",
    "Bearer {key}x", "Bearer {key} x", "Bearer {hash}"])
def test_no_route_that_needs_a_key_answers_without_one(site, authorization):
    stack, one, _ = site
    key = one.headers["Authorization"].removeprefix("Bearer ")
    digest = hashlib.sha256(key.encode()).hexdigest()
    api = Api(stack.url)
    if authorization is not None:
        api.headers = {"Authorization": authorization.format(key=key, hash=digest)}
    n_closed = 0
    for method, path, needs_key in operations():
        path = path.format(dataset="comments", name="comments", id=job_id(), file="start.js")
        body = {"dataset": "comments", "params": {"login": "x"}} if method == "POST" else None
        answer = api.call(method, path, body)
        if not needs_key:
            assert answer.status in (200, 503), (path, answer)
            continue
        n_closed += 1
        assert answer.status == 401, (path, answer)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        document = answer.json()
        assert document["code"] == "unauthorized" and not document["retryable"]
        assert key not in answer.content.decode()
    assert n_closed >= 9


def test_a_key_is_good_for_everything_that_is_its_tenants(site):
    _, one, _ = site
    answer = one.get("/api/comments/?login=vladimir")
    assert answer.status == 200 and len(answer.json()["data"]) == 1
    id = one.submit("comments", {"login": "vladimir"})["id"]
    assert one.final(id)["state"] == "succeeded"
    assert one.result(id).content == answer.content
    assert id in [job["id"] for job in one.get("/v1/jobs").json()["jobs"]]


def test_the_command_line_takes_its_key_from_the_environment(site):
    stack, one, _ = site
    key = one.headers["Authorization"].removeprefix("Bearer ")
    done = run("submit", "comments", "login=vladimir", "--wait", "20", "--url", stack.url,
               settings={"TALLY_API_KEY": key})
    assert done.returncode == 0, done
    refused = run("jobs", "--url", stack.url)
    assert refused.returncode != 0 and "key" in refused.stderr


@pytest.mark.parametrize("words", [[], ["old", "acme"], ["new"], ["new", "a b"], ["new", "a" * 65],
                                   ["new", "acme", "-1"], ["new", "acme", "1", "2", "3", "4"]])
def test_wrong_words_make_no_key(words):
    made = run("keys", *words)
    assert (made.returncode, made.stdout) == (2, "") and "tally keys --help" in made.stderr


# ---- two tenants ---------------------------------------------------------------------------------

def look(api, method, id, ending):
    """What a caller sees of an id: all of the answer but what differs with the time or the id."""
    answer = api.call(method, f"/v1/jobs/{id}{ending}", traceparent=TRACE)
    headers = {name: value for name, value in answer.headers.items() if name != "Date"}
    return answer.status, headers, answer.content.decode().replace(id, "ID")


@pytest.mark.parametrize("method, ending", [
    ("GET", ""), ("HEAD", ""), ("GET", "/result"), ("GET", "/events"), ("DELETE", "")])
def test_a_foreign_job_is_told_from_none_by_nothing(site, method, ending):
    _, one, other = site
    final = one.submit("comments", {"login": "vladimir"})["id"]
    one.final(final)
    none = look(other, method, job_id(tenant="nobody"), ending)
    assert none[0] == 404
    assert look(other, method, final, ending) == none
    fresh = one.submit("comments", {"login": "vladimir"})["id"]
    assert look(other, method, fresh, ending) == none
    assert look(other, method, "0" * 39, ending) == none
    assert one.final(fresh)["state"] == "succeeded", "a stranger cancelled it"


def test_a_foreign_producers_job_is_its_tenants_only(site, services):
    _, one, other = site
    id = "x" + base32(os.urandom(24))[:38]
    assert look(one, "GET", id, "") == look(other, "GET", id, "")
    assert look(one, "GET", id, "")[0] == 404


def test_a_list_has_the_callers_own_jobs_only(site):
    _, one, other = site
    theirs = {api: {api.submit("general", {"login": "yanina"})["id"] for _ in range(5)}
              for api in (one, other)}
    for api, ids in theirs.items():
        for id in ids:
            api.final(id)
    for api in one, other:
        listed, path = set(), "/v1/jobs?limit=3"
        while path:
            answer = api.get(path)
            listed |= {job["id"] for job in answer.json()["jobs"]}
            link = answer.headers.get("Link")
            path = link[link.index("<") + 1:link.index(">")] if link else None
        assert theirs[api] <= listed
        assert not listed & theirs[one if api is other else other]


def test_a_cursor_of_one_tenant_shows_another_nothing_of_it(site):
    _, one, other = site
    ids = [one.submit("general", {"login": "yanina"})["id"] for _ in range(3)]
    for id in ids:
        one.final(id)
    link = one.get("/v1/jobs?limit=1").headers["Link"]
    answer = other.get(link[link.index("<") + 1:link.index(">")])
    assert answer.status in (200, 422)
    assert not any(id in answer.content.decode() for id in ids)


def test_a_key_for_idempotency_is_its_tenants(site):
    _, one, other = site
    name = uuid.uuid4().hex
    first = one.submit("comments", {"login": "vladimir"}, Idempotency_Key=name)["id"]
    # Another tenant's use of the same key, with another request, is no reuse.
    second = other.submit("general", {"login": "yanina"}, Idempotency_Key=name)["id"]
    assert first != second
    assert one.final(first)["dataset"] == "comments"
    assert other.final(second)["dataset"] == "general"


def test_equal_requests_of_two_tenants_share_no_flight(site, services):
    stack, one, other = site
    before = metric(stack, "tally_coalesced_total")
    with locked(services.db2, "logs"), concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(api.get, "/api/general/?login=natalya", Prefer="wait=2")
                 for api in (one, other)]
        answers = [future.result() for future in asked]
    assert [answer.status for answer in answers] == [504, 504]
    assert metric(stack, "tally_coalesced_total") == before


# ---- guessed ids ---------------------------------------------------------------------------------

def guesses(genuine, n, seed=20261125):
    """Ids as somebody would guess them who knows a genuine one of another tenant."""
    chance = random.Random(seed)
    letters = [chance.choices(CROCKFORD, k=39) for _ in range(n)]
    for i, guess in enumerate(letters):
        if i % 4 == 1:  # its time, the rest by chance
            guess[:10] = genuine[:10]
        elif i % 4 == 2:  # all but a few letters
            known = 39 - chance.randint(1, 13)
            guess[:known] = genuine[:known]
        elif i % 4 == 3:  # one letter changed
            guess[:] = genuine
            at = chance.randrange(39)
            guess[at] = chance.choice(CROCKFORD.replace(genuine[at], ""))
        yield "".join(guess)


def ask_in_a_row(stack, lines, authorization):
    """Sends requests without waiting for answers; the statuses in order."""
    ask = "".join(f"{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n"
                  for line in lines[:-1])
    ask += f"{lines[-1]} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n" \
           "Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60) as connection, \
            concurrent.futures.ThreadPoolExecutor(1) as pool:
        sent = pool.submit(connection.sendall, ask.encode())
        received = b""
        while block := connection.recv(1 << 20):
            received += block
        sent.result()
    return [part[:3].decode() for part in received.split(b"HTTP/1.1 ")[1:]]


def test_no_guess_finds_a_job(site):
    stack, one, other = site
    genuine = one.submit("comments", {"login": "vladimir"})["id"]
    one.final(genuine)
    all_guesses = [guess for guess in guesses(genuine, N_GUESSES + 5000) if guess != genuine]
    assert len(all_guesses) >= N_GUESSES
    forms = "GET /v1/jobs/{}", "GET /v1/jobs/{}/result", "DELETE /v1/jobs/{}", \
        "GET /v1/jobs/{}/events"
    for i in range(0, len(all_guesses), 5000):
        lines = [forms[j % 4].format(guess) for j, guess in enumerate(all_guesses[i:i + 5000])]
        statuses = ask_in_a_row(stack, lines, other.headers["Authorization"])
        assert len(statuses) == len(lines)
        assert set(statuses) == {"404"}, {status: lines[statuses.index(status)]
                                          for status in set(statuses)}
    assert one.job(genuine)["state"] == "succeeded"


# ---- secrets -------------------------------------------------------------------------------------

def test_ids_of_the_old_secret_are_good_while_it_is_there(services):
    new = "a-newer-secret-for-tests-0123456789-abcdef"
    with Stack(services, n_workers=1) as stack:
        old_id = Api(stack.url).submit("comments", {"login": "vladimir"})["id"]
        Api(stack.url).final(old_id)
    with Stack(services, 0, gateway={"TALLY_JOB_SECRET": f"{new},{JOB_SECRET}"}) as stack:
        api = Api(stack.url)
        assert api.job(old_id)["state"] == "succeeded"
        new_id = api.submit("comments", {"login": "vladimir"})["id"]
        assert api.job(new_id)["state"] == "queued"
    with Stack(services, 0, gateway={"TALLY_JOB_SECRET": new}) as stack:
        api = Api(stack.url)
        assert api.get(f"/v1/jobs/{old_id}").status == 404
        assert api.get(f"/v1/jobs/{new_id}").status == 200
        assert api.call("DELETE", f"/v1/jobs/{new_id}").status in (200, 202)


# ---- reload --------------------------------------------------------------------------------------

def test_keys_come_and_go_on_sighup_and_a_broken_file_changes_nothing(services, tmp_path):
    keys = Keys(tmp_path / "keys")
    first = keys.add("one")
    with Stack(services, n_workers=0, gateway={"TALLY_API_KEYS": keys.path}) as stack:
        def status(key):
            return Api(stack.url, key).get("/v1/datasets").status

        second = keys.add("two")
        assert (status(first), status(second)) == (200, 401), "before it is told"
        reload(stack, "API keys read again")
        assert (status(first), status(second)) == (200, 200)
        good = keys.path.read_text()
        for broken in "", "one nothing\n", good + "x\n":
            keys.write(broken)
            reload(stack, "the API keys stay as they were")
            assert (status(first), status(second)) == (200, 200)
        keys.write(good.splitlines()[1])
        reload(stack, "API keys read again")
        assert (status(first), status(second)) == (401, 200)
        assert not any(key in line for key in (first, second) for line in stack.gateway.lines)


def test_a_wrong_file_of_keys_ends_the_gateway_with_78(services, tmp_path):
    path = tmp_path / "keys"
    path.write_text("one x\n")
    for wrong in path, tmp_path / "nothing":
        with pytest.raises(AssertionError, match=r"keys:1|nothing: No such file"):
            with Stack(services, n_workers=0, gateway={"TALLY_API_KEYS": wrong}):
                pass


def test_with_keys_it_may_listen_beyond_loopback(services, keys):
    key = keys.add("one")
    settings = {"TALLY_LISTEN": "0.0.0.0:0"}
    with Stack(services, 0, gateway=settings | {"TALLY_API_KEYS": keys.path}) as stack:
        assert Api(stack.url, key).get("/v1/datasets").status == 200
    with pytest.raises(AssertionError, match="TALLY_API_KEYS"):
        with Stack(services, n_workers=0, gateway=settings):
            pass
