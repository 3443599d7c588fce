"""The command line: what it prints and how it exits (0 done, 1 failed, 2 usage, 78 wrong)."""

import json

import pytest

from harness import run

GOOD_ROW = {"user_login": "vladimir", "post_header": "ЖК Эдельвейс",
            "post_author_login": "vladimir", "total_comments": 1}


@pytest.fixture
def tally(services):
    """Runs the command line with the session's settings; more as keywords."""
    def call(*arguments, **settings):
        return run(*arguments, settings=services.cli_settings | settings)
    return call


def test_help_names_the_commands(tally):
    result = tally("--help")
    assert result.returncode == 0, result
    for command in "check", "run", "get", "migrate", "topics":
        assert command in result.stdout


def test_version(tally):
    result = tally("--version")
    assert result.returncode == 0 and result.stdout.strip(), result


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["migrate"], ["migrate", "sideways", "db1"],
                                       ["topics"], ["run"], ["--nothing"]])
def test_wrong_usage_exits_with_2(tally, arguments):
    result = tally(*arguments)
    assert result.returncode == 2, result
    assert result.stderr.strip()


def test_check_accepts_the_datasets(tally):
    result = tally("check")
    assert result.returncode == 0, result


@pytest.mark.parametrize("text, line", [
    ("-- dataset wrong\n-- column a int\n-- nonsense\n", 3),
    ("-- dataset wrong\n-- column a int\n-- step s on db1\nSELECT no_such_column AS a FROM users;",
     None),
])
def test_check_names_file_and_line_of_what_is_wrong(tally, tmp_path, text, line):
    (tmp_path / "wrong.sql").write_text(text)
    result = tally("check", TALLY_DATASETS=tmp_path)
    assert result.returncode == 78, result
    assert f"wrong.sql:{line or ''}" in result.stdout + result.stderr


def test_a_database_without_a_url_exits_with_78(tally):
    result = tally("migrate", "up", "db9")
    assert result.returncode == 78, result
    assert "TALLY_SOURCE_DB" in result.stderr


def test_a_wrong_setting_exits_with_78(tally):
    result = tally("check", TALLY_QUERY_TIMEOUT_MS="soon")
    assert result.returncode == 78, result
    assert "QUERY_TIMEOUT_MS" in result.stderr


def test_run_prints_a_table(tally):
    result = tally("run", "comments", "login=vladimir", "--format", "table")
    assert result.returncode == 0, result
    lines = result.stdout.splitlines()
    assert lines[0].split() == list(GOOD_ROW)
    assert any("ЖК Эдельвейс" in line and line.split()[0] == "vladimir" for line in lines[1:])


def test_run_prints_json(tally):
    result = tally("run", "comments", "login=vladimir", "--format", "json")
    assert result.returncode == 0, result
    assert json.loads(result.stdout) == {"status": "ok", "data": [GOOD_ROW]}


def test_run_prints_csv(tally):
    result = tally("run", "comments", "login=vladimir", "--format", "csv")
    assert result.returncode == 0, result
    assert result.stdout.splitlines() == ["user_login,post_header,post_author_login,"
                                          "total_comments", "vladimir,ЖК Эдельвейс,vladimir,1"]


@pytest.mark.parametrize("arguments", [["comments"], ["comments", "login"],
                                       ["comments", "login=a", "since=yesterday"],
                                       ["nothing", "login=a"]])
def test_run_with_wrong_parameters_fails(tally, arguments):
    result = tally("run", *arguments)
    assert result.returncode in (1, 2), result
    assert result.stderr.strip()


def test_run_without_its_database_fails(tally):
    result = tally("run", "comments", "login=vladimir",
                   TALLY_SOURCE_DB2="postgresql://127.0.0.1:1/nothing")
    assert result.returncode == 1, result
    assert "db2" in result.stderr


def test_get_asks_the_gateway(tally, stack):
    result = tally("get", "comments", "login=vladimir", "--format", "json", "--url", stack.url)
    assert result.returncode == 0, result
    assert json.loads(result.stdout) == {"status": "ok", "data": [GOOD_ROW]}


def test_get_of_what_is_wrong_fails_and_says_why(tally, stack):
    result = tally("get", "comments", "--url", stack.url)
    assert result.returncode == 1, result
    assert "login" in result.stderr


def test_topics_may_be_created_again(tally):
    assert tally("topics", "create").returncode == 0


def test_migrations_go_down_and_up_again(services):
    from conftest import fresh_database
    for name, url in ("db1", services.db1), ("db2", services.db2):
        with fresh_database(url, name) as fresh:
            settings = services.cli_settings | {f"TALLY_SOURCE_{name.upper()}": fresh}
            for command in "up", "status", "demo", "up", "down", "up", "demo", "demo", "status":
                result = run("migrate", command, name, settings=settings)
                assert result.returncode == 0, (command, result)


def test_the_job_store_is_migrated_like_a_database(services):
    from conftest import fresh_database
    with fresh_database(services.jobs, "jobs") as fresh:
        settings = services.cli_settings | {"TALLY_JOBS": fresh}
        for command in "up", "status", "up", "down", "up":
            result = run("migrate", command, "jobs", settings=settings)
            assert result.returncode == 0, (command, result)
    result = run("migrate", "up", "jobs", settings=services.cli_settings | {"TALLY_JOBS": ""})
    assert result.returncode == 78 and "TALLY_JOBS" in result.stderr, result
