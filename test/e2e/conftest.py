"""Fixtures: databases and topics of the session, programs of a module.

    make e2e
    deploy/dev/with-services --postgres --kafka -- build/venv/bin/pytest test/e2e

TEST_POSTGRES_URL_DB1, _DB2, _JOBS  URLs of a superuser; databases of our own are made
TEST_KAFKA                          a real broker that nobody else uses meanwhile
TALLY_BIN                           the programs; default build/release/bin"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

import psycopg
import psycopg.sql
import pytest

import rows
from harness import ROOT, Stack, run, with_database
from library import Library

HERE = pathlib.Path(__file__).parent
JOB_SECRET = "only-for-tests-0123456789abcdef-secret"


def required(name):
    if not os.environ.get(name):
        pytest.exit(f"{name} is not set: run under deploy/dev/with-services", returncode=2)
    return os.environ[name]


@dataclasses.dataclass
class Services:
    db1: str
    db2: str
    jobs: str
    kafka: str
    datasets: pathlib.Path

    @property
    def common(self):
        return {"TALLY_KAFKA": self.kafka, "TALLY_DATASETS": self.datasets}

    @property
    def gateway_settings(self):
        return self.common | self.job_settings | {"TALLY_LISTEN": "127.0.0.1:0"}

    @property
    def job_settings(self):
        return {"TALLY_JOBS": self.jobs, "TALLY_JOB_SECRET": JOB_SECRET}

    @property
    def worker_settings(self):
        return self.common | {"TALLY_SOURCE_DB1": self.db1, "TALLY_SOURCE_DB2": self.db2}

    @property
    def cli_settings(self):
        return self.worker_settings | self.job_settings


@contextlib.contextmanager
def fresh_database(url, purpose):
    """A database of its own on the server of url; its URL."""
    name = f"tally_e2e_{purpose}_{uuid.uuid4().hex[:12]}"
    identifier = psycopg.sql.Identifier(name)

    def execute(text):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(psycopg.sql.SQL(text).format(identifier))

    execute("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
    try:
        yield with_database(url, name)
    finally:
        execute("DROP DATABASE {} WITH (FORCE)")


def succeed(*arguments, settings):
    result = run(*arguments, settings=settings)
    assert result.returncode == 0, (arguments, result)


@pytest.fixture(scope="session")
def datasets(tmp_path_factory):
    """The folder of all datasets: the product's and the tests'."""
    folder = tmp_path_factory.mktemp("datasets")
    for file in [*(ROOT / "deploy/datasets").glob("*.sql"), *(HERE / "datasets").glob("*.sql")]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="session")
def services(datasets):
    """Migrated databases with demo data and the tests' own tables; topics."""
    kafka = required("TEST_KAFKA")
    with fresh_database(required("TEST_POSTGRES_URL_DB1"), "db1") as db1, \
            fresh_database(required("TEST_POSTGRES_URL_DB2"), "db2") as db2, \
            fresh_database(required("TEST_POSTGRES_URL_JOBS"), "jobs") as jobs:
        services = Services(db1, db2, jobs, kafka, datasets)
        for name, url in ("db1", db1), ("db2", db2):
            succeed("migrate", "up", name, settings=services.cli_settings)
            succeed("migrate", "demo", name, settings=services.cli_settings)
            with psycopg.connect(url) as connection:
                connection.execute((HERE / f"tables/{name}.sql").read_text())
        succeed("migrate", "up", "jobs", settings=services.cli_settings)
        succeed("topics", "create", settings=services.cli_settings)
        yield services


@contextlib.contextmanager
def clickhouse_engine(folder, *certificate):
    """The URL of a ClickHouse engine of its own behind HTTP."""
    command = [sys.executable, HERE / "clickhouse.py", folder, "tally", "s3cret", *certificate]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        port = engine.stdout.readline()
        assert port, "the engine does not start"
        yield f"clickhouse://tally:s3cret@127.0.0.1:{int(port)}"
        engine.stdin.close()


def clickhouse(url, query, data=None):
    """Runs a statement; its answer as text.  data are the rows of an INSERT."""
    parts = urllib.parse.urlsplit(url)
    headers = {"X-ClickHouse-User": parts.username, "X-ClickHouse-Key": parts.password}
    if data is None:
        target, body = "/", query.encode()
    else:
        target, body = "/?" + urllib.parse.urlencode({"query": query}), data.encode()
    request = urllib.request.Request(f"http://{parts.hostname}:{parts.port}{target}", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}") from None


@pytest.fixture(scope="session")
def clickhouse_services(services, tmp_path_factory):
    """The same, but for db2: that is ClickHouse, and nothing else is set otherwise."""
    with clickhouse_engine(tmp_path_factory.mktemp("clickhouse")) as url:
        moved = dataclasses.replace(services, db2=url)
        succeed("migrate", "up", "db2", settings=moved.cli_settings)
        succeed("migrate", "demo", "db2", settings=moved.cli_settings)
        for statement in (HERE / "tables/db2-clickhouse.sql").read_text().split(";"):
            if statement.strip():
                clickhouse(url, statement)
        yield moved


@pytest.fixture(scope="session")
def world(services):
    """Generated users, blogs, posts and events, loaded beside the demo data."""
    world = rows.World(seed=20250629)
    world.load(services.db1, services.db2)
    return world


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return Library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def clickhouse_world(world, clickhouse_services):
    """The generated events in ClickHouse, too."""
    clickhouse(clickhouse_services.db2, "INSERT INTO logs (id, datetime, user_id, space_type_id,"
                                        " event_type_id, object_id) FORMAT CSV", world.logs_csv())
    return world


@pytest.fixture(scope="module")
def stack(services):
    """A gateway and two workers for the tests of a module."""
    with Stack(services) as stack:
        yield stack


@pytest.fixture(scope="module", params=["postgres", "clickhouse"])
def any_stack(request):
    """A stack for each kind of db2."""
    is_moved = request.param == "clickhouse"
    if is_moved:
        request.getfixturevalue("clickhouse_world")
    with Stack(request.getfixturevalue("clickhouse_services" if is_moved else "services")) as stack:
        yield stack


@pytest.fixture
def start_stack(services):
    """start_stack(n_workers=..., gateway={...}, worker={...}): for one test."""
    with contextlib.ExitStack() as stacks:
        yield lambda **options: stacks.enter_context(Stack(services, **options))
