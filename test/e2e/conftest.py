"""Fixtures: databases and topics of the session, programs of a module.

    make e2e
    deploy/dev/with-services --postgres --kafka -- build/venv/bin/pytest test/e2e

TEST_POSTGRES_URL_DB1, TEST_POSTGRES_URL_DB2  URLs of a superuser; databases of our own are made
TEST_KAFKA                                    a real broker that nobody else uses meanwhile
TALLY_BIN                                     the programs; default build/release/bin"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import uuid

import psycopg
import psycopg.sql
import pytest

import rows
from harness import ROOT, Stack, run, with_database

HERE = pathlib.Path(__file__).parent


def required(name):
    if not os.environ.get(name):
        pytest.exit(f"{name} is not set: run under deploy/dev/with-services", returncode=2)
    return os.environ[name]


@dataclasses.dataclass
class Services:
    db1: str
    db2: str
    kafka: str
    datasets: pathlib.Path

    @property
    def common(self):
        return {"TALLY_KAFKA": self.kafka, "TALLY_DATASETS": self.datasets}

    @property
    def gateway_settings(self):
        return self.common | {"TALLY_LISTEN": "127.0.0.1:0"}

    @property
    def worker_settings(self):
        return self.common | {"TALLY_SOURCE_DB1": self.db1, "TALLY_SOURCE_DB2": self.db2}

    cli_settings = worker_settings


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
            fresh_database(required("TEST_POSTGRES_URL_DB2"), "db2") as db2:
        services = Services(db1, db2, kafka, datasets)
        for name, url in ("db1", db1), ("db2", db2):
            succeed("migrate", "up", name, settings=services.cli_settings)
            succeed("migrate", "demo", name, settings=services.cli_settings)
            with psycopg.connect(url) as connection:
                connection.execute((HERE / f"tables/{name}.sql").read_text())
        succeed("topics", "create", settings=services.cli_settings)
        yield services


@pytest.fixture(scope="session")
def world(services):
    """Generated users, blogs, posts and events, loaded beside the demo data."""
    world = rows.World(seed=20250629)
    world.load(services.db1, services.db2)
    return world


@pytest.fixture(scope="module")
def stack(services):
    """A gateway and two workers for the tests of a module."""
    with Stack(services) as stack:
        yield stack


@pytest.fixture
def start_stack(services):
    """start_stack(n_workers=..., gateway={...}, worker={...}): for one test."""
    with contextlib.ExitStack() as stacks:
        yield lambda **options: stacks.enter_context(Stack(services, **options))
