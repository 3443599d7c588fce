"""db2 in ClickHouse, from the command line: its schema, the copy of what is there, and what is said
when something is wrong.  That datasets answer the same is test_oracle.py's and test_datasets.py's."""

import contextlib
import dataclasses
import json
import os
import subprocess
import urllib.parse

import psycopg
import pytest

from conftest import clickhouse, clickhouse_engine, fresh_database, required, succeed
from harness import BIN, ROOT, Stack, environment, is_problem, run

DIGEST = ("count(*), sum(id), sum(user_id * event_type_id), sum(space_type_id), sum(object_id),"
          " min(datetime), max(datetime)")


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with clickhouse_engine(tmp_path_factory.mktemp("clickhouse")) as url:
        yield url


@pytest.fixture
def empty(engine, request):
    """A URL of an empty database of the engine."""
    name = request.node.name.replace("[", "_").replace("]", "")[:40]
    clickhouse(engine, f"CREATE DATABASE {name}")
    yield f"{engine}/{name}"
    clickhouse(engine, f"DROP DATABASE {name}")


def ask(url, query):
    parts = urllib.parse.urlsplit(url)
    name = parts.path.strip("/")
    return clickhouse(parts._replace(path="").geturl(), query.replace("logs", f"{name}.logs"))


@pytest.fixture(scope="module")
def filled():
    """A PostgreSQL with 120,000 rows of activity, of users on both sides of zero."""
    with fresh_database(required("TEST_POSTGRES_URL_DB2"), "copy") as url:
        succeed("migrate", "up", "db2", settings={"TALLY_SOURCE_DB2": url})
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO logs (id, datetime, user_id, space_type_id, event_type_id, object_id)"
                " SELECT i * 3 - 1000, timestamp '2019-01-01' + i * interval '61.000001 s',"
                " i % 1013 - 500, i % 3 + 1, i % 5 + 1, i % 77 - 5"
                " FROM generate_series(1, 120000) AS i")
            connection.execute("INSERT INTO event_type (id, name) VALUES (9, 'it''s\\new')")
        yield url


def digest_of_postgres(url):
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT {DIGEST} FROM logs").fetchone()
    return [str(value) for value in row[:-2]] + [f"{value:%Y-%m-%d %H:%M:%S.%f}"
                                                 for value in row[-2:]]


def digest_of_clickhouse(url):
    return ask(url, f"SELECT {DIGEST} FROM logs").rstrip().split("\t")


def copy(filled, url):
    result = run("copy", "db2", "--from", filled, "--to", url, settings={}, timeout=120)
    assert result.returncode == 0, result
    assert "verified: counts and sums of 64 buckets of users are equal" in result.stdout
    return result.stdout


@pytest.fixture
def migrated(empty):
    succeed("migrate", "up", "db2", settings={"TALLY_SOURCE_DB2": empty})
    return empty


# ---- migrations ----------------------------------------------------------------------------------

def test_migrations_go_up_and_down_and_up(empty):
    settings = {"TALLY_SOURCE_DB2": empty}
    for command, said in (("status", "pending"), ("up", "applied"), ("up", "up to date"),
                          ("demo", "demo data"), ("demo", "demo data"), ("status", "applied"),
                          ("down", "reverted"), ("down", "nothing is applied"), ("up", "applied")):
        result = run("migrate", command, "db2", settings=settings)
        assert result.returncode == 0 and said in result.stdout, (command, result)


def test_a_migration_that_fails_leaves_the_database_dirty_and_says_where(empty, tmp_path):
    folder = tmp_path / "db2-clickhouse"
    folder.mkdir()
    (folder / "000001_first.up.sql").write_text(
        "CREATE TABLE a (s String DEFAULT ';') -- ;\nENGINE = Memory;\n\nSELECT nothing;\n")
    settings = {"TALLY_SOURCE_DB2": empty, "TALLY_MIGRATIONS": tmp_path}
    result = run("migrate", "up", "db2", settings=settings)
    assert result.returncode == 78 and "000001_first.up.sql:4: " in result.stderr, result
    result = run("migrate", "up", "db2", settings=settings)
    assert result.returncode == 78 and "version 1 is dirty" in result.stderr, result


# ---- the copy ------------------------------------------------------------------------------------

def test_a_copy_is_the_same_on_both_sides_and_does_nothing_the_second_time(filled, migrated):
    assert "120000 rows: 120000 copied, 0 were there" in copy(filled, migrated)
    assert digest_of_clickhouse(migrated) == digest_of_postgres(filled)
    assert "120000 rows: 0 copied, 120000 were there" in copy(filled, migrated)
    assert digest_of_clickhouse(migrated) == digest_of_postgres(filled)
    name = urllib.parse.urlsplit(migrated).path.strip("/")
    engine = urllib.parse.urlsplit(migrated)._replace(path="").geturl()
    assert clickhouse(engine, f"SELECT id, name FROM {name}.event_type ORDER BY id FORMAT JSON"
                              "CompactEachRow").splitlines()[-1] == '[9, "it\'s\\\\new"]'


@pytest.mark.parametrize("damage", [
    "ALTER TABLE logs DELETE WHERE id BETWEEN 300000 AND 300500",         # broke off
    "ALTER TABLE logs DELETE WHERE id > 350000",
    "INSERT INTO logs SELECT * FROM logs WHERE id BETWEEN 5000 AND 6000",  # sent twice
    "ALTER TABLE logs UPDATE object_id = object_id + 1 WHERE id = 302",
])
def test_a_copy_mends_what_differs_and_no_more(filled, migrated, damage):
    copy(filled, migrated)
    ask(migrated, damage + (" SETTINGS mutations_sync = 2" if "ALTER" in damage else ""))
    assert digest_of_clickhouse(migrated) != digest_of_postgres(filled)
    said = copy(filled, migrated)
    assert "120000 rows: " in said and "120000 copied" not in said and " 0 copied" not in said
    assert digest_of_clickhouse(migrated) == digest_of_postgres(filled)


def test_rows_of_others_in_between_are_told(filled, migrated):
    copy(filled, migrated)
    ask(migrated, "INSERT INTO logs (id, datetime, user_id, space_type_id, event_type_id, object_id)"
                  " VALUES (-5000, '2024-01-01 00:00:00', 7, 1, 1, 0)")
    result = run("copy", "db2", "--from", filled, "--to", migrated, settings={})
    assert result.returncode == 1 and "modulo 64 PostgreSQL has" in result.stderr, result


def test_a_terminal_sees_how_far_it_is(filled, migrated):
    reader, writer = os.openpty()
    with subprocess.Popen([BIN / "tally", "copy", "db2", "--from", filled, "--to", migrated],
                          cwd=ROOT, env=environment({}), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=writer) as copying:
        os.close(writer)
        shown = b""
        try:
            while piece := os.read(reader, 4096):
                shown += piece
        except OSError:  # the end of a terminal
            pass
        assert b"120000 rows: 120000 copied" in copying.stdout.read()
    os.close(reader)
    assert copying.returncode == 0
    assert b"[##############################] 100 %  120000 of 120000 rows" in shown, shown


@pytest.mark.parametrize("arguments, code, said", [
    ([], 2, "copy takes the name of a database"),
    (["db1", "--from", "a", "--to", "b"], 2, "db2"),
    (["db2"], 2, "--from postgresql://"),
    (["db2", "--from", "clickhouse://h", "--to", "clickhouse://h"], 78, "postgresql://"),
    (["db2", "--from", "FILLED", "--to", "postgresql://h"], 78, "clickhouse://"),
    (["db2", "--from", "FILLED", "--to", "clickhouse://u:hidden@127.0.0.1:1"], 1, "connect"),
])
def test_wrong_words_are_told_without_passwords(filled, arguments, code, said):
    result = run("copy", *[filled if word == "FILLED" else word for word in arguments], settings={})
    assert result.returncode == code and said in result.stderr, result
    assert "hidden" not in result.stderr


def test_a_copy_into_a_database_without_tables_says_so(filled, empty):
    result = run("copy", "db2", "--from", filled, "--to", empty, settings={})
    assert result.returncode == 78 and "UNKNOWN_TABLE" in result.stderr, result


# ---- datasets ------------------------------------------------------------------------------------

@pytest.fixture
def moved(services, migrated):
    return dataclasses.replace(services, db2=migrated)


def test_check_accepts_the_datasets_of_the_product(moved):
    result = run("check", settings=moved.cli_settings | {"TALLY_DATASETS": "deploy/datasets"})
    assert result.returncode == 0, result


@pytest.mark.parametrize("step, said", [
    ("-- step s on db2\nSELECT 1 AS a;", None),
    ("-- step s on db2 for postgres\nSELECT 1 AS a;",
     "wrong.sql:3: step s has no statement for clickhouse, the kind of db2"),
    ("-- step s on db2 for clickhouse\nSELECT no_such AS a FROM logs;", "wrong.sql:3: "),
    ("-- step s on db2\nSELECT [1] AS a;", "column a has type Array(UInt8)"),
    ("-- step s on db2\nSELECT toDate('2024-01-01') AS a;", "int"),
])
def test_check_says_what_is_wrong_for_this_kind(moved, tmp_path, step, said):
    (tmp_path / "wrong.sql").write_text(f"-- dataset wrong\n-- column a int\n{step}\n")
    result = run("check", settings=moved.cli_settings | {"TALLY_DATASETS": tmp_path})
    assert result.returncode == (78 if said else 0), result
    assert (said or "ok") in result.stdout, result


def test_it_writes_nothing(moved, tmp_path):
    (tmp_path / "w.sql").write_text("-- dataset w\n-- column a int\n-- step s on db2\n"
                                    "SELECT 1 AS a);INSERT INTO logs SELECT * FROM (SELECT 1;\n")
    result = run("run", "w", settings=moved.cli_settings | {"TALLY_DATASETS": tmp_path})
    assert result.returncode == 78, result


def test_a_wrong_password_is_a_database_that_cannot_be_reached(services, engine):
    url = engine.replace("s3cret", "wr0ng")
    settings = dataclasses.replace(services, db2=url).cli_settings
    result = run("run", "comments", "login=vladimir", settings=settings)
    assert result.returncode == 1 and "AUTHENTICATION_FAILED" in result.stderr, result
    assert "wr0ng" not in result.stderr


def test_explain_and_answer(moved):
    succeed("migrate", "demo", "db2", settings=moved.cli_settings)
    result = run("run", "general", "login=vladimir", "--explain", settings=moved.cli_settings)
    assert json.loads(result.stdout)["data"] == [
        {"date": "2025-06-29", "logins": 1, "logouts": 1, "blog_actions": 0}], result
    assert "IN $1" in result.stderr


def test_thirty_thousand_keys_go_as_a_form(moved, tmp_path):
    (tmp_path / "many.sql").write_text(
        "-- dataset many\n-- column found int = count(name)\n-- column sum int = sum(key)\n"
        "-- step key on db1\nSELECT i::int8 AS key FROM generate_series(1000000, 1029999) AS i;\n"
        "-- step found on db2 by key for clickhouse\n"
        "SELECT key, toString(key) AS name FROM (SELECT arrayJoin(:key) AS key)"
        " WHERE key IN :key AND key % 3 = 0;\n")
    result = run("run", "many", settings=moved.cli_settings | {"TALLY_DATASETS": tmp_path})
    found = [key for key in range(1000000, 1030000) if key % 3 == 0]
    assert json.loads(result.stdout)["data"] == [{"found": len(found), "sum": sum(found)}], result


def test_tls_needs_a_certificate_that_is_trusted(services, tmp_path):
    pem = tmp_path / "both.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem,
                    "-out", tmp_path / "ca.pem"], capture_output=True, timeout=60, check=True)
    pem.write_text(pem.read_text() + (tmp_path / "ca.pem").read_text())
    (tmp_path / "one.sql").write_text("-- dataset one\n-- column a int\n-- step s on db2\n"
                                      "SELECT 1 AS a;\n")
    with clickhouse_engine(tmp_path / "engine", pem) as url:
        for words, code, said in (("?secure=1&ca_cert=" + str(tmp_path / "ca.pem"), 0, '"a":1'),
                                  ("?secure=1&verify=0", 0, '"a":1'),
                                  ("?secure=1", 1, "peer certificate"),
                                  ("", 1, "connection was lost")):
            settings = services.cli_settings | {"TALLY_SOURCE_DB2": url + words,
                                                "TALLY_DATASETS": tmp_path}
            result = run("run", "one", settings=settings)
            assert result.returncode == code, (words, result)
            assert said in (result.stdout if code == 0 else result.stderr).lower(), (words, result)


def test_a_database_that_goes_away_is_told_to_callers_and_the_other_datasets_go_on(
        services, tmp_path):
    with contextlib.ExitStack() as engines:
        url = engines.enter_context(clickhouse_engine(tmp_path / "engine"))
        moved = dataclasses.replace(services, db2=url, datasets=tmp_path / "datasets")
        moved.datasets.mkdir()
        (moved.datasets / "here.sql").write_text(
            "-- dataset here\n-- column a int\n-- step s on db1\nSELECT 1 AS a;\n")
        (moved.datasets / "there.sql").write_text(
            "-- dataset there\n-- column a int\n-- step s on db2\nSELECT 1 AS a;\n")
        with Stack(moved, n_workers=1) as stack:
            assert stack.ask("there").json()["data"] == [{"a": 1}]
            engines.close()
            answer = stack.ask("there", wait=20)
            assert is_problem(answer, "source_unavailable")["source"] == "db2"
            assert stack.ask("here").json()["data"] == [{"a": 1}]
