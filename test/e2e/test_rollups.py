"""The rollups of db2, in both kinds of database: the same answers as from the log, whatever is closed."""

import dataclasses
import datetime

import psycopg
import pytest

import rows
from conftest import clickhouse, clickhouse_engine, fresh_database, required, succeed
from harness import ROOT, Stack, run
from test_oracle import check

LOGS = "logs (id, datetime, user_id, space_type_id, event_type_id, object_id)"


@pytest.fixture(scope="module", params=["postgres", "clickhouse"])
def rolled(request, services, world, tmp_path_factory):
    """Services whose db2 has the generated events and rollups, a third of them added afterwards."""
    is_clickhouse = request.param == "clickhouse"
    lines = world.logs_csv().splitlines(keepends=True)
    before, after = "".join(lines[:-len(lines) // 3]), "".join(lines[-len(lines) // 3:])
    with (clickhouse_engine(tmp_path_factory.mktemp("clickhouse")) if is_clickhouse
          else fresh_database(required("TEST_POSTGRES_URL_DB2"), "rollups")) as url:
        rolled = dataclasses.replace(services, db2=url,
                                     datasets=ROOT / "deploy/datasets-rollup")
        succeed("migrate", "up", "db2", settings=rolled.cli_settings)
        insert(rolled, before)
        for _ in range(2):
            succeed("migrate", "add", "db2", "rollups", settings=rolled.cli_settings)
        if not is_clickhouse:
            close_days(rolled, "2022-02-02")
        insert(rolled, after)
        yield rolled


def insert(services, csv):
    if services.db2.startswith("clickhouse:"):
        clickhouse(services.db2, f"INSERT INTO {LOGS} FORMAT CSV", csv)
        return
    with psycopg.connect(services.db2) as connection:
        with connection.cursor().copy(f"COPY {LOGS} FROM STDIN (FORMAT csv)") as into:
            into.write(csv)


def close_days(services, upto):
    with psycopg.connect(services.db2, autocommit=True) as connection:
        connection.execute("CALL close_days(%s)", [upto])
        connection.execute("ANALYZE")


def requests(world, n):
    made = []
    for login in list(world.ids)[:n]:
        for since, until in (None, None), world.period():
            for dataset, columns, oracle in (("comments", rows.COMMENTS, world.comments),
                                             ("general", rows.GENERAL, world.general)):
                made.append(dict(dataset=dataset, columns=columns, format="json", login=login,
                                 lines=oracle(login, since, until), since=since, until=until))
    world.random.shuffle(made)
    return made


def test_the_oracle_holds_with_rollups(rolled, world):
    if rolled.db2.startswith("clickhouse:"):
        with Stack(rolled) as stack:
            check(stack, requests(world, 1000))
        return
    # Nothing is closed but what was there when days were closed: those events came later, with
    # times in days that are closed, which is said not to be counted.  So close from the beginning.
    with psycopg.connect(rolled.db2) as connection:
        connection.execute("TRUNCATE logs_daily, comments_by_post, rollup_state")
    succeed("migrate", "add", "db2", "rollups", settings=rolled.cli_settings)
    with Stack(rolled) as stack:
        for upto in "0001-01-01", "2021-05-05", "2021-05-06", "2025-01-01":
            close_days(rolled, upto)
            check(stack, requests(world, 250 if upto < "2025" else 1000))


def test_what_happens_today_is_seen_at_once(rolled, world):
    login = next(iter(world.ids))
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()

    def ask():
        result = run("run", "general", f"login={login}", f"since={today}", "--format", "csv",
                     settings=rolled.cli_settings)
        assert result.returncode == 0, result
        return result.stdout.splitlines()[1:]

    assert ask() == []
    insert(rolled, f"{10**9},{today} 00:00:00,{world.ids[login]},1,1,0\n"
                   f"{10**9 + 1},{today} 00:00:01,{world.ids[login]},2,3,5\n")
    assert ask() == [f"{today},1,0,1"]


def test_ids_need_not_come_in_order(rolled):
    """A row is counted that comes with a lower id than others of its day, which were there before it."""
    if rolled.db2.startswith("clickhouse:"):
        pytest.skip("rows are counted as they come")
    user = 10**12  # nobody asks for him
    insert(rolled, f"{10**12 + 5},2025-06-02 00:00:00,{user},1,1,0\n")
    close_days(rolled, "2025-06-02")
    insert(rolled, f"{10**12 + 1},2025-06-02 00:00:01,{user},1,1,0\n")
    close_days(rolled, "2025-06-03")
    with psycopg.connect(rolled.db2) as connection:
        found = connection.execute("SELECT date::text, logins FROM logs_daily WHERE user_id = %s",
                                   [user]).fetchall()
    assert found == [("2025-06-02", 2)]


def test_check_warns_when_a_rollup_lags(rolled):
    def lags():
        result = run("check", settings=rolled.cli_settings)
        assert result.returncode == 0, result
        return [line for line in result.stdout.splitlines() if line.startswith("warn")]

    if rolled.db2.startswith("clickhouse:"):
        assert lags() == []
        clickhouse(rolled.db2, "INSERT INTO logs_daily VALUES (1, '2020-01-01', 7, 7, 0, 0)")
        assert all("7 rows are in logs or in logs_daily alone" in line for line in lags())
        clickhouse(rolled.db2, "INSERT INTO comments_by_post VALUES (1, 1, 7000)")
        assert "7000 comments are in logs or in comments_by_post alone" in "".join(lags())
        succeed("migrate", "add", "db2", "rollups", settings=rolled.cli_settings)
        assert lags() == []
    else:
        assert all("days are not closed" in line for line in lags())
        assert len(lags()) == 2
        close_days(rolled, datetime.datetime.now(datetime.timezone.utc).date())
        assert lags() == []
