"""What rollups bring at 100 and at 10,000 logs a user, on both kinds of database: requests a second
of 64 clients through all of Tally, and the database's own CPU for a request.  Prints figures;
judges nothing.  make bench-rollups calls it.

    BENCH_LOGS=1000000   rows of logs
    BENCH_REQUESTS=2000  requests of each figure"""

import dataclasses
import os
import pathlib
import random
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test/e2e"))

import psycopg  # noqa: E402

from conftest import (Services, clickhouse_engine, fresh_database, required,  # noqa: E402
                      succeed)
from harness import Stack, at_once  # noqa: E402

LOGS = int(os.environ.get("BENCH_LOGS", "1000000"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "2000"))
TICKS = os.sysconf("SC_CLK_TCK")

CONTENT = """
INSERT INTO users (id, login, email)
SELECT i, 'user' || i, i || '@example.org' FROM generate_series(1, {users}) AS i;
INSERT INTO blog (id, owner_id, name, description)
SELECT i, i, 'a blog', '' FROM generate_series(1, {users}) AS i;
INSERT INTO post (id, header, text, author_id, blog_id)
SELECT i, 'post ' || i, '', 1 + i % {users}, 1 + i % {users} FROM generate_series(1, 1000) AS i"""
# In two months, whatever their number.
ACTIVITY = """
INSERT INTO logs (datetime, user_id, space_type_id, event_type_id, object_id)
SELECT timestamp '2024-01-01' + i % {each} * (interval '60 days' / {each}), 1 + i / {each},
       (array[1, 3, 2, 2, 1])[1 + i % 5], 1 + i % 5,
       CASE WHEN i % 5 IN (0, 4) THEN 0 ELSE 1 + i * 7919::bigint % 1000 END
  FROM generate_series(0, {logs} - 1) AS i"""


def cpu_s(word):
    """The CPU time of all processes whose command line has the word, so far."""
    total = 0
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if word in (process / "cmdline").read_bytes().replace(b"\0", b" ").decode():
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        except OSError:
            continue  # it has ended
    return total / TICKS


def measure(services, what, users):
    is_moved = services.db2.startswith("clickhouse:")
    word = "clickhouse.py" if is_moved else services.db2.rpartition("/")[2]
    with Stack(services, n_workers=1) as stack:
        for dataset in "general", "comments":
            def ask(_):
                login = f"user{random.randint(1, users)}"
                answer = stack.ask(dataset, wait=30, login=login)
                assert answer.status_code == 200, answer.text

            at_once(ask, range(REQUESTS // 4))
            cpu, began = cpu_s(word), time.monotonic()
            at_once(ask, range(REQUESTS))
            took, cpu = time.monotonic() - began, cpu_s(word) - cpu
            print(f"  {dataset:9} {what:22} {REQUESTS / took:7.0f} requests/s"
                  f" {cpu / REQUESTS * 1e6:9.0f} us of the database's CPU a request", flush=True)


def compare(services, users, close):
    kind = "clickhouse" if services.db2.startswith("clickhouse:") else "postgres"
    measure(services, kind, users)
    succeed("migrate", "add", "db2", "rollups", settings=services.cli_settings)
    close()
    rolled = dataclasses.replace(services, datasets=ROOT / "deploy/datasets-rollup")
    measure(rolled, f"{kind}, rollups", users)


def bench(each, folder):
    users = LOGS // each
    print(f"{LOGS} logs, {each} a user", flush=True)
    with fresh_database(required("TEST_POSTGRES_URL_DB1"), "bench1") as db1, \
            fresh_database(required("TEST_POSTGRES_URL_DB2"), "bench2") as db2, \
            clickhouse_engine(f"{folder}/{each}") as engine:
        services = Services(db1, db2, required("TEST_POSTGRES_URL_JOBS"), required("TEST_KAFKA"),
                            ROOT / "deploy/datasets")
        moved = dataclasses.replace(services, db2=engine)
        for name, settings in (("db1", services), ("db2", services), ("db2", moved)):
            succeed("migrate", "up", name, settings=settings.cli_settings)
        with psycopg.connect(db1) as connection:
            connection.execute(CONTENT.format(users=users))
        with psycopg.connect(db2, autocommit=True) as connection:
            connection.execute(ACTIVITY.format(each=each, logs=LOGS))
            connection.execute("VACUUM ANALYZE")

            def close():
                connection.execute("CALL close_days()")
                connection.execute("VACUUM ANALYZE")

            succeed("copy", "db2", "--from", db2, "--to", engine, settings={})
            compare(services, users, close)
            compare(moved, users, lambda: None)


def main():
    common = Services("", "", required("TEST_POSTGRES_URL_JOBS"), required("TEST_KAFKA"),
                      ROOT / "deploy/datasets")
    succeed("migrate", "up", "jobs", settings=common.cli_settings)
    succeed("topics", "create", settings=common.cli_settings)
    with tempfile.TemporaryDirectory() as folder:
        for each in 100, 10000:
            bench(each, folder)


if __name__ == "__main__":
    main()
