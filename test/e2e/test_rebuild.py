"""A job store that was lost: tally jobs rebuild fills an empty one from Kafka."""

import contextlib

import psycopg
import pytest

from conftest import fresh_database, succeed
from harness import at_once, run, wait_until
from jobs import Api

N_JOBS = 300
DIGESTS = {
    "jobs": "SELECT md5(string_agg(t::text, ',' ORDER BY id, day)) FROM jobs t",
    "results": "SELECT md5(string_agg(t::text, ',' ORDER BY id, day, run, part)) FROM results t",
    "keys": "SELECT md5(string_agg(t::text, ',' ORDER BY tenant, key)) FROM keys t",
}


def ask(url, sql):
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchone()[0]


def digests(url):
    return {table: ask(url, sql) for table, sql in DIGESTS.items()}


@contextlib.contextmanager
def fresh_store(services):
    """The settings of an empty job store, and its URL."""
    with fresh_database(services.jobs, "rebuild") as url:
        settings = services.cli_settings | {"TALLY_JOBS": url}
        succeed("migrate", "up", "jobs", settings=settings)
        yield settings, url


def rebuild(settings):
    return run("jobs", "rebuild", settings=settings, timeout=300)


def submit(api, number, login):
    headers = {"Idempotency_Key": f"rebuild-{number}"} if number % 3 == 0 else {}
    job = api.submit("comments", {"login": login}, {"labels": {"n": str(number)}}, **headers)
    if number % 10 == 0:
        assert api.call("DELETE", f"/v1/jobs/{job['id']}").status in (200, 202)
    return job["id"]


def test_a_rebuilt_store_equals_the_one_that_was_lost(start_stack, services, world):
    logins = [login for login in world.ids if world.comments(login)]
    with fresh_store(services) as (settings, lost), fresh_store(services) as (others, rebuilt):
        # What the tests before this one have published.
        result = rebuild(settings)
        assert result.returncode == 0, result
        # Small parts, so that many results are in several.
        stack = start_stack(n_workers=2, gateway={"TALLY_JOBS": lost},
                            worker={"TALLY_PART_BYTES": 1024})
        api = Api(stack.url)
        ids = at_once(lambda number: submit(api, number, logins[number % len(logins)]),
                      range(N_JOBS))
        wait_until(lambda: ask(lost, "SELECT count(*) FROM jobs WHERE has_request"
                                     " AND state >= 'succeeded'"
                                     f" AND id = ANY ('{{{','.join(ids)}}}')") == N_JOBS,
                   60, "all jobs are recorded")
        wait_until(lambda: ask(lost, "SELECT count(*) FROM keys WHERE NOT confirmed") == 0,
                   30, "all keys are confirmed")
        result = rebuild(settings)
        assert result.returncode == 1 and "stop the gateways" in result.stderr, result
        stack.gateway.stop()
        before = digests(lost)
        assert ask(lost, "SELECT max(n_parts) FROM jobs") > 1
        result = rebuild(others)
        assert result.returncode == 0, result
        assert "messages read in" in result.stdout
        assert digests(rebuilt) == before


@pytest.mark.parametrize("spoil, reason", [
    ("INSERT INTO results VALUES ('id', current_date, 1, 1, '')", "not empty"),
    ("DROP TABLE jobs CASCADE", "no tables"),
])
def test_a_store_that_is_not_empty_is_left_as_it_is(services, spoil, reason):
    with fresh_store(services) as (settings, url):
        with psycopg.connect(url) as connection:
            connection.execute(spoil)
        result = rebuild(settings)
        assert result.returncode == 78, result
        assert reason in result.stderr


def test_what_a_rebuild_needs_is_named(services):
    result = rebuild(services.common)
    assert result.returncode == 78
    assert "TALLY_JOBS" in result.stderr and "TALLY_JOB_SECRET" in result.stderr
