"""The demo data through the whole service: what the README promises, byte for byte."""

import json
import re

import prometheus_client.parser
import pytest
import requests

from harness import is_problem

COMMENTS = ('{"status":"ok","data":[{"user_login":"vladimir","post_header":"ЖК Эдельвейс",'
            '"post_author_login":"vladimir","total_comments":1}]}')
GENERAL = ('{"status":"ok","data":[{"date":"2025-06-29","logins":1,"logouts":1,'
           '"blog_actions":0}]}')
EMPTY = '{"status":"ok","data":[]}'
COMMENTS_CSV = ("user_login,post_header,post_author_login,total_comments\r\n"
                "vladimir,ЖК Эдельвейс,vladimir,1\r\n")
GENERAL_CSV = "date,logins,logouts,blog_actions\r\n2025-06-29,1,1,0\r\n"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("dataset, document", [("comments", COMMENTS), ("general", GENERAL)])
@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize("more", ["", "&format=json"])
def test_the_two_documents(stack, dataset, document, slash, more):
    answer = stack.get(f"/api/{dataset}{slash}?login=vladimir{more}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert int(answer.headers["Content-Length"]) == len(document.encode())
    assert answer.content == document.encode()


@pytest.mark.parametrize("login, header", [("yanina", "ЖК Ромашка"), ("natalya", "ЖК Ландыши")])
def test_the_other_users_of_the_demo_data(stack, login, header):
    data = stack.ask("comments", login=login).json()["data"]
    assert data == [{"user_login": login, "post_header": header, "post_author_login": login,
                     "total_comments": 1}]
    assert stack.ask("general", login=login).content == GENERAL.encode()


@pytest.mark.parametrize("dataset, document", [("comments", COMMENTS_CSV),
                                               ("general", GENERAL_CSV)])
def test_csv_is_an_attachment_with_a_header_line(stack, dataset, document):
    answer = stack.ask(dataset, login="vladimir", format="csv")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f"attachment; filename={dataset}.csv"
    assert answer.content == document.encode()


def test_csv_of_nothing_still_has_its_header_line(stack):
    answer = stack.ask("general", login="nobody", format="csv")
    assert answer.content == b"date,logins,logouts,blog_actions\r\n"


def test_ndjson_is_a_row_a_line(stack):
    answer = stack.ask("comments", login="vladimir", format="ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    row = COMMENTS[COMMENTS.index("[") + 1:-2]
    assert answer.content == (row + "\n").encode()
    assert stack.ask("comments", login="nobody", format="ndjson").content == b""


@pytest.mark.parametrize("dataset", ["comments", "general"])
@pytest.mark.parametrize("login", ["nobody", "Vladimir", "vladimir ", "влад%_\\'\"🙂"])
def test_an_unknown_login_is_an_empty_list(stack, dataset, login):
    answer = stack.ask(dataset, login=login)
    assert (answer.status_code, answer.content) == (200, EMPTY.encode())


@pytest.mark.parametrize("dataset", ["comments", "general"])
def test_a_period_narrows_the_rows(stack, dataset):
    whole = stack.ask(dataset, login="vladimir").content
    inside = {"since": "2025-06-29", "until": "2025-06-29"}
    assert stack.ask(dataset, login="vladimir", **inside).content == whole
    for outside in {"since": "2025-06-30"}, {"until": "2025-06-28"}:
        assert stack.ask(dataset, login="vladimir", **outside).content == EMPTY.encode()


@pytest.mark.parametrize("query, names", [
    ("", ["login"]),
    ("?since=2025-06-29", ["login"]),
    ("?login=vladimir&format=xml", ["format"]),
    ("?login=vladimir&since=yesterday", ["since"]),
    ("?login=vladimir&since=2023-02-29", ["since"]),
    ("?login=vladimir&colour=red", ["colour"]),
    ("?login=vladimir&login=yanina", ["login"]),
    ("?login=" + "x" * 257, ["login"]),
    ("?since=yesterday&until=tomorrow", ["login", "since", "until"]),
])
def test_a_wrong_parameter_is_422_and_named(stack, query, names):
    answer = stack.get(f"/api/comments/{query}")
    assert answer.status_code == 422, answer.text
    document = is_problem(answer, "invalid_parameter")
    assert sorted(fault["name"] for fault in document["errors"]) == names
    assert all(fault["in"] == "query" and fault["detail"] for fault in document["errors"])


def test_an_unknown_dataset_is_404_and_lists_the_datasets(stack):
    answer = stack.get("/api/coments/?login=vladimir")
    assert answer.status_code == 404
    document = is_problem(answer, "unknown_dataset")
    assert "comments" in document["detail"] and "general" in document["detail"]


@pytest.mark.parametrize("accept, query, media", [
    ("text/csv", "", "text/csv"), ("application/x-ndjson", "", "application/x-ndjson"),
    ("text/html, */*;q=0.1", "", "application/json"), ("text/csv", "&format=json",
                                                       "application/json"),
    ("text/html", "&format=csv", "text/csv"),
])
def test_accept_chooses_the_format_unless_the_query_does(stack, accept, query, media):
    answer = stack.get("/api/comments/?login=vladimir" + query, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == media


def test_a_caller_that_accepts_none_of_the_formats_is_told_so(stack):
    answer = stack.get("/api/comments/?login=vladimir", headers={"Accept": "text/html"})
    assert answer.status_code == 406
    is_problem(answer, "not_acceptable")


@pytest.mark.parametrize("path", ["/", "/nothing", "/api", "/v1", "/v1/dataset"])
def test_an_unknown_path_is_404(stack, path):
    answer = stack.get(path)
    assert answer.status_code == 404
    is_problem(answer, "not_found", "unknown_dataset")


def test_the_datasets_are_described(stack):
    listed = json.dumps(stack.get("/v1/datasets").json())
    for name in "comments", "general", "top-posts":
        assert f'"{name}"' in listed
    one = json.dumps(stack.get("/v1/datasets/comments").json())
    for name in "login", "since", "until", "user_login", "post_header", "total_comments":
        assert f'"{name}"' in one
    is_problem(stack.get("/v1/datasets/nothing"), "unknown_dataset")


def test_it_lives_and_is_ready(stack):
    assert stack.get("/livez").status_code == 200
    assert stack.get("/readyz").status_code == 200


def test_metrics_are_valid(stack):
    stack.ask("comments", login="vladimir")
    answer = stack.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = list(prometheus_client.parser.text_string_to_metric_families(answer.text))
    names = [family.name for family in families]
    assert any(name.startswith("tally_") for name in names)
    assert len(names) == len(set(names))
    assert all(family.documentation for family in families if family.name.startswith("tally_"))
    assert "vladimir" not in answer.text  # no login in a label


@pytest.mark.parametrize("path", ["/livez", "/api/comments/?login=vladimir", "/v1/datasets"])
def test_head_is_get_without_the_body(stack, path):
    got = stack.get(path)
    answer = requests.head(stack.url + path, timeout=40)
    assert answer.status_code == 200, answer.headers
    assert answer.content == b""
    assert answer.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/api/comments/?login=vladimir", "/livez", "/v1/datasets"])
def test_another_method_is_405_with_allow(stack, method, path):
    answer = requests.request(method, stack.url + path, timeout=40)
    assert answer.status_code == 405, answer.text
    is_problem(answer, "method_not_allowed")
    allowed = {word.strip() for word in answer.headers["Allow"].split(",")}
    assert "GET" in allowed and method not in allowed


def test_a_trace_is_taken_over(stack):
    answer = stack.get("/api/comments/?login=vladimir", headers={"traceparent": TRACEPARENT})
    assert answer.headers["traceparent"].split("-")[:2] == TRACEPARENT.split("-")[:2]


@pytest.mark.parametrize("given", [None, "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_a_trace_is_begun(stack, given):
    headers = {"traceparent": given} if given else {}
    traces = {stack.get("/api/comments/?login=vladimir", headers=headers).headers["traceparent"]
              for _ in range(2)}
    assert len(traces) == 2
    assert all(re.fullmatch("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", trace)
               for trace in traces)


@pytest.mark.parametrize("prefer, applied", [("wait=5", "wait=5"), ("wait=100", "wait=30"),
                                             ("wait=\"5\"", "wait=5"),
                                             ("handling=lenient, wait=7", "wait=7")])
def test_a_wait_that_was_applied_is_answered(stack, prefer, applied):
    answer = stack.get("/api/comments/?login=vladimir", headers={"Prefer": prefer})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, applied)
    assert answer.content == COMMENTS.encode()


def test_no_preference_is_applied_without_one(stack):
    assert "Preference-Applied" not in stack.get("/api/comments/?login=vladimir").headers


def test_a_request_that_must_not_come_from_a_cache(stack):
    answer = stack.get("/api/comments/?login=vladimir", headers={"Cache-Control": "no-cache"})
    assert answer.content == COMMENTS.encode()
