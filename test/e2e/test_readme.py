"""The README is true: its commands, its answer, its table of settings, its example of a dataset."""

import dataclasses
import os
import re
import shlex
import subprocess
import urllib.parse

import pytest

from conftest import clickhouse_engine
from harness import BIN, ROOT, Stack, environment, run

README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands():
    lines = "".join(blocks("sh")).splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def test_the_curl_line_gives_the_answer_beside_it(stack):
    line = next(line for line in commands() if line.startswith("curl"))
    url = shlex.split(line)[1].replace("127.0.0.1:8080", f"127.0.0.1:{stack.port}")
    answer = subprocess.run(["curl", "-sS", "--noproxy", "*", url], capture_output=True,
                            text=True, timeout=30, check=True)
    assert answer.stdout == blocks("json")[0].strip()


def test_the_table_of_settings_is_the_programs():
    table = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", README, re.S).group(1)
    assert run("settings", settings={}).stdout == table


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make ")])
def test_make_knows_the_target(line):
    target = shlex.split(line)[1]
    subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, timeout=60, check=True)


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("tally ")])
def test_the_command_line_does_what_is_written(line, services):
    result = run(*shlex.split(line)[1:], settings=services.cli_settings)
    assert result.returncode == 0, result


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("tally-")])
def test_the_programs_read_the_example_of_settings(line):
    words = shlex.split(line.replace("tally.env", str(ROOT / ".env.example")))
    program = [str(ROOT / "build/release/bin" / words[0]), *words[1:], "--help"]
    assert subprocess.run(program, capture_output=True, timeout=30, check=False).returncode == 0


def test_no_command_is_left_out():
    # The last is what test_library.py does.
    known = ("make ", "curl ", "tally ", "tally-worker ", "tally-gateway ", "cc results.c ")
    assert [line for line in commands() if not line.startswith(known)] == []


def test_the_example_is_a_dataset_of_the_tests(datasets):
    example = next(text for text in blocks("sql"))
    statements = (datasets / "blogs.sql").read_text()

    def words(text):
        return re.sub(r"\s+", " ", re.sub(r"^---.*$", "", text, flags=re.M)).strip()

    assert words(example) == words(statements)


def test_moving_db2_to_clickhouse_in_five_steps(services, world, tmp_path):
    """The block as it is, but for addresses; then the same answers as before."""
    logins = list(world.ids)[:40]

    def answers(stack):
        return [stack.ask(dataset, login=login).content for login in logins
                for dataset in ("comments", "general")]

    with Stack(services) as stack:
        before = answers(stack)
    settings = tmp_path / "tally.env"
    settings.write_text(f"A=1\nTALLY_SOURCE_DB2={services.db2}\nB=2\n")
    (tmp_path / "tally").symlink_to(BIN / "tally")
    with clickhouse_engine(tmp_path / "engine") as url:
        block = blocks("bash")[0].replace("postgresql://tally@127.0.0.1:5432/db2", services.db2)
        block = block.replace("tally:password", "tally:s3cret").replace(
            "127.0.0.1:8123", urllib.parse.urlsplit(url).netloc.rpartition("@")[2])
        done = subprocess.run(
            ["bash", "-eu", "-c", block.replace("tally.env", str(settings))], cwd=ROOT,
            env=environment(services.cli_settings | {
                "TALLY_DATASETS": "deploy/datasets", "no_proxy": "*",
                "PATH": f"{tmp_path}:{os.environ['PATH']}"}),
            capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert done.stdout.count("verified: ") == 2 and ": 0 copied" in done.stdout
        new = re.search(r"^TALLY_SOURCE_DB2=(.*)$", settings.read_text(), re.M)[1]
        assert new == f"{url}/activity"
        with Stack(dataclasses.replace(services, db2=new, datasets=ROOT / "deploy/datasets")) \
                as stack:
            assert answers(stack) == before
