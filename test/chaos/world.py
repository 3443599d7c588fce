"""Users whose figures are theirs alone, so that an answer that is somebody else's is seen by value.

User i comments A(i) times on one post and B(i) times on another, and logs in and out as often; no
two have the same pair.  Every twentieth has many days besides: a result in several parts."""

import datetime
import hashlib

import psycopg

from harness import as_json

N_USERS = 400
SIDE = 20  # A and B are 1 .. SIDE
N_DAYS = 60
POSTS = ("ЖК Ромашка", "Дом №2")
DAY = datetime.date(2025, 6, 29)
FIRST_DAY = datetime.date(2024, 1, 1)
LOGIN, COMMENT, CREATE_POST, LOGOUT = 1, 2, 3, 5
GLOBAL, BLOG, POST = 1, 2, 3
DATASETS = ("comments", "general")
COMMENTS = ("user_login", "post_header", "post_author_login", "total_comments")
GENERAL = ("date", "logins", "logouts", "blog_actions")


def login_of(i):
    return f"user{i:04d}"


def figures(i):
    """A and B."""
    return i // SIDE + 1, i % SIDE + 1


def is_large(i):
    return i % SIDE == 7


def body(dataset, i):
    """The REST body, byte for byte."""
    a, b = figures(i)
    if dataset == "comments":
        rows = [(login_of(i), POSTS[0], login_of(0), a), (login_of(i), POSTS[1], login_of(1), b)]
        return as_json(COMMENTS, sorted(rows, key=lambda row: (-row[3], row[1].encode())))
    days = [(DAY.isoformat(), a, b, i % 5)]
    if is_large(i):
        days += [((FIRST_DAY + datetime.timedelta(day)).isoformat(), a, 0, 0)
                 for day in range(N_DAYS)]
    return as_json(GENERAL, sorted(days))


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def expected():
    """The hash of every right answer by (dataset, login)."""
    return {(dataset, login_of(i)): sha256(body(dataset, i))
            for dataset in DATASETS for i in range(N_USERS)}


def _events(i):
    a, b = figures(i)
    counts = [(LOGIN, GLOBAL, 0, a), (LOGOUT, GLOBAL, 0, b), (COMMENT, POST, 1, a),
              (COMMENT, POST, 2, b), (CREATE_POST, BLOG, 1, i % 5)]
    for kind, space, subject, count in counts:
        for _ in range(count):
            yield DAY, i + 1, space, kind, subject
    for day in range(N_DAYS if is_large(i) else 0):
        for _ in range(a):
            yield FIRST_DAY + datetime.timedelta(day), i + 1, GLOBAL, LOGIN, 0


def _copy(connection, table, columns, rows):
    with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as into:
        for row in rows:
            into.write_row(row)


def load(db1, db2):
    users = [(i + 1, login_of(i), f"u{i}@example.org") for i in range(N_USERS)]
    posts = [(i + 1, header, "", i + 1, 1) for i, header in enumerate(POSTS)]
    with psycopg.connect(db1) as connection:
        _copy(connection, "users", "id, login, email", users)
        _copy(connection, "blog", "id, owner_id, name, description", [(1, 1, "blog", "")])
        _copy(connection, "post", "id, header, text, author_id, blog_id", posts)
    with psycopg.connect(db2) as connection:
        _copy(connection, "logs", "datetime, user_id, space_type_id, event_type_id, object_id",
              (event for i in range(N_USERS) for event in _events(i)))
    for url in db1, db2:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
