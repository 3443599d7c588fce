"""The API is what its OpenAPI document says: generated requests, right and wrong ones, against a
gateway that serves."""

import json
import re
import subprocess
import sys

import pytest
import requests

from harness import ROOT
from jobs import Api

# What is said of bad data is checked by tests of our own: many a value that a schema does not allow
# is ignored by design (RFC 7240 preferences, unknown media types in Accept).
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_headers_conformance", "response_schema_conformance", "unsupported_method",
          "allow_header_conformance")
LEAST_CASES = 3000


@pytest.fixture(scope="module")
def document(stack):
    answer = stack.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def test_generated_requests_get_what_the_document_says(stack, tmp_path):
    # A job that is there, and one that ended badly, for the paths with an id.
    api = Api(stack.url)
    id = api.submit("comments", {"login": "vladimir"})["id"]
    api.final(id)
    # Jobs that are generated would otherwise hold the stream of events open for an hour.  One worker:
    # with two threads CPython 3.11 at times fails to parse its own source (gh-106905).
    result = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{stack.url}/openapi.json",
         "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing",
         "--max-examples", "300", "--seed", "20250629", "--generation-database", "none",
         "--continue-on-failure", "--no-color", "--workers", "1",
         "--exclude-path-regex", "/events$"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900,
        check=False)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    counted = re.search(r"(\d[\d,]*) generated", result.stdout)
    assert counted, result.stdout[-2000:]
    assert int(counted[1].replace(",", "")) >= LEAST_CASES, counted[0]


def test_the_documents_in_the_tree_are_those_that_are_served(stack, document):
    tree = json.loads((ROOT / "api/openapi.json").read_text())
    own = tree.pop("paths")
    paths = document["paths"]
    assert {name: value for name, value in document.items() if name != "paths"} == tree
    assert {path: paths[path] for path in own} == own
    assert {"/api/comments", "/api/general"} <= paths.keys() - own.keys()
    served = stack.get("/asyncapi.json")
    assert served.json() == json.loads((ROOT / "api/asyncapi.json").read_text())


def test_the_page_shows_the_document_without_the_internet(stack):
    page = stack.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert linked and not [link for link in linked if not link.startswith("/")]
    for link in linked:
        answer = requests.get(stack.url + link, timeout=30)
        assert answer.status_code == 200 and answer.content, link
        if link.startswith("/docs/"):
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_browser_shows_every_operation(stack, document, tmp_path):
    # As root it refuses its sandbox; the page is ours.
    result = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={tmp_path}", "--virtual-time-budget=30000", "--dump-dom",
         f"{stack.url}/docs"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=True)
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["summary"] in result.stdout, path
