"""Datasets that are only files: test/e2e/datasets, over tables of the tests' own."""

import collections
import datetime
import decimal
import random
import uuid

import psycopg
import pytest

import rows
from conftest import clickhouse
from harness import as_csv, as_json, at_once, is_problem, shown

SESSIONS = ("nick", "day", "visits", "early", "note")
ORDERS = ("account", "product", "orders", "pieces", "total")
NOTE = "at :nick '12:30' ':nick'  $1 :nick :b{y,z}"


@pytest.fixture(scope="module")
def stack(any_stack):
    return any_stack


@pytest.fixture(scope="module")
def is_clickhouse(stack):
    return stack.services.db2.startswith("clickhouse:")


# ---- blogs, top-posts: generated content ---------------------------------------------------------

def test_blogs_with_their_posts_and_comments(stack, world):
    def ask(login):
        answer = stack.ask("blogs", wait=30, login=login)
        assert answer.content == as_json(rows.BLOGS, world.blogs_of(login)), \
            (login, shown(answer.content), world.blogs_of(login))

    at_once(ask, world.ids)


def test_top_posts_of_a_period_without_any_login(stack, world):
    periods = [sorted([world.day(), world.day()]) for _ in range(200)]
    periods += [(day, day) for day in rows.DAYS_OF_INTEREST]
    periods += [(datetime.date(1900, 1, 1), datetime.date(2299, 12, 31)),
                (datetime.date(1990, 1, 1), datetime.date(1990, 1, 1))]

    def ask(period):
        since, until = period
        expected = world.top_posts(*period) if since.year > 1900 else \
            world.top_posts(rows.FIRST_DAY, rows.LAST_DAY)
        answer = stack.ask("top-posts", wait=30, since=since, until=until)
        assert answer.content == as_json(rows.TOP_POSTS, expected), \
            (period, shown(answer.content), expected)

    at_once(ask, periods)


def test_a_period_that_only_one_kind_of_database_can_represent(stack, world, is_clickhouse):
    def ask(since):
        return since, stack.ask("top-posts", wait=30, since=since, until="9999-12-30")

    for since, answer in at_once(ask, ["0001-01-01", "1899-12-31", "2019-01-01"]):
        if is_clickhouse:
            assert "cannot be represented" in is_problem(answer, "source_error")["detail"], since
        else:
            assert answer.content == as_json(rows.TOP_POSTS, world.top_posts(rows.FIRST_DAY,
                                                                             rows.LAST_DAY))


# ---- active-days: steps within a period ----------------------------------------------------------

def test_periods_open_and_closed_share_a_query(stack, world):
    def ask(request):
        answer = stack.ask("active-days", wait=30, **request)
        ends = {name: request.get(name) for name in ("since", "until")}
        expected = as_json(rows.ACTIVE_DAYS, world.active_days(request["login"], **ends))
        assert answer.content == expected, (request, shown(answer.content), shown(expected))

    requests = []
    for i, login in enumerate(list(world.ids)[:600]):
        since, until = sorted([world.day(), world.day()])
        ends = [{}, {"since": since}, {"until": until}, {"since": since, "until": until}][i % 4]
        requests.append({"login": login} | ends)
    at_once(ask, requests)


# ---- sessions ------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def visits(services, stack, is_clickhouse):
    """(nick as stored, started), loaded."""
    numbers = random.Random(12)
    nicks = ["Anna", "ANNA", "anna", "ЁЖИК", "ёжик", "O'Hara", "o'hara", "straße", "x:y"]
    visits = [(numbers.choice(nicks),
               datetime.datetime(2024, 2, numbers.randint(27, 29), numbers.randrange(24),
                                 numbers.choice([0, 29, 30, 59])))
              for _ in range(300)]
    if is_clickhouse:
        clickhouse(stack.services.db2, "TRUNCATE TABLE e2e_visit")
        clickhouse(stack.services.db2, "INSERT INTO e2e_visit FORMAT CSV", "".join(
            f'"{nick}",{started},""\n' for nick, started in visits))
        return visits, ascii_lower
    with psycopg.connect(services.db2) as connection:
        connection.execute("DELETE FROM e2e_visit")
        with connection.cursor().copy("COPY e2e_visit FROM STDIN") as into:
            for nick, started in visits:
                into.write_row((nick, started, ""))
        folds = connection.execute("SELECT 'ЁЖИК'::citext = 'ёжик'::citext").fetchone()[0]
    return visits, str.lower if folds else ascii_lower


def ascii_lower(text):
    """What citext folds under the C locale."""
    return "".join(c.lower() if c.isascii() else c for c in text)


def sessions(visits, fold, nick):
    days = collections.defaultdict(lambda: [0, 0])
    for stored, started in visits:
        if fold(stored) == fold(nick):
            counts = days[started.date().isoformat()]
            counts[0] += 1
            counts[1] += started.time() < datetime.time(12, 30)
    return [(nick, day, *days[day], NOTE) for day in sorted(days)]


def test_the_callers_spelling_comes_back_when_the_stored_type_folds(stack, visits):
    def ask(nick):
        answer = stack.ask("sessions", wait=30, nick=nick)
        assert answer.content == as_json(SESSIONS, sessions(*visits, nick)), \
            (nick, shown(answer.content), sessions(*visits, nick))

    at_once(ask, ["Anna", "ANNA", "anna", "aNNa", "ЁЖИК", "ёжик", "Ёжик", "O'HARA", "STRASSE",
                  "straße", "X:Y", ":nick", "nobody"] * 10)


# ---- orders --------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def orders(services, stack, is_clickhouse):
    """(products by id, purchases), loaded; some products are gone."""
    numbers = random.Random(13)
    new_id = lambda: uuid.UUID(int=numbers.getrandbits(128))  # noqa: E731
    products = {new_id(): name for name in ["tea", "Чай", "a,b", "tea", "=1", ""]}
    accounts = [new_id() for _ in range(50)]
    product_ids = [*products, new_id()]
    amounts = ["0.10", "0.20", "1.1", "1.10", "-3.30", "0", "99999999999999999999.999999",
               "0.000000000001", "1e3", "-0.01"]
    purchases = [(i, numbers.choice(accounts), numbers.choice(product_ids),
                  numbers.randint(-3, 10), decimal.Decimal(numbers.choice(amounts)))
                 for i in range(600)]
    if is_clickhouse:
        clickhouse(stack.services.db2, "TRUNCATE TABLE e2e_product")
        clickhouse(stack.services.db2, "INSERT INTO e2e_product FORMAT CSV", "".join(
            f'"{id}","{name}"\n' for id, name in products.items()))
    with psycopg.connect(services.db2) as connection:
        connection.execute("DELETE FROM e2e_product")
        for item in products.items():
            connection.execute("INSERT INTO e2e_product VALUES (%s, %s)", item)
    with psycopg.connect(services.db1) as connection:
        connection.execute("DELETE FROM e2e_purchase")
        with connection.cursor().copy("COPY e2e_purchase FROM STDIN") as into:
            for purchase in purchases:
                into.write_row(purchase)
    return products, purchases


def exact_sum(amounts):
    context = decimal.Context(prec=60, traps=[decimal.Inexact])
    total = decimal.Decimal()
    for amount in amounts:
        total = context.add(total, amount)
    return total


def bought(products, purchases, account):
    """By product id: two products of the same name are two rows."""
    by_product = collections.defaultdict(list)
    for _, buyer, product_id, quantity, amount in purchases:
        if buyer == account:
            by_product[product_id].append((quantity, amount))
    lines = [(str(account), products.get(product_id), len(items),
              sum(quantity for quantity, _ in items),
              exact_sum(amount for _, amount in items))
             for product_id, items in by_product.items()]
    return sorted(lines, key=lambda line: (rows.text_key(line[1]), line[2], line[3], line[4]))


def test_sums_of_numeric_are_exact_and_the_key_is_a_uuid(stack, orders):
    def ask(account):
        answer = stack.ask("orders", wait=30, account=account)
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        assert all(isinstance(row["total"], str) for row in data)
        got = [(*(row[name] for name in ORDERS[:4]), decimal.Decimal(row["total"]))
               for row in data]
        assert got == bought(*orders, account), account

    at_once(ask, {purchase[1] for purchase in orders[1]})


def test_a_uuid_may_be_written_in_capitals(stack, orders):
    account = orders[1][0][1]
    assert stack.ask("orders", account=str(account).upper()).content \
        == stack.ask("orders", account=str(account)).content


def test_csv_tells_null_from_empty_and_a_negative_total_from_a_formula(stack, orders):
    seen = set()
    for account in sorted({purchase[1] for purchase in orders[1]}):
        lines = stack.ask("orders", account=account).json()["data"]
        answer = stack.ask("orders", account=account, format="csv")
        assert answer.content.decode() == as_csv(ORDERS, [tuple(line.values())
                                                          for line in lines]).decode()
        seen |= {line["product"] for line in lines}
        seen |= {line["total"][0] for line in lines}
    assert {None, "", "=1", "-"} <= seen


@pytest.mark.parametrize("account", ["1", "", "g0000000-0000-0000-0000-000000000000"])
def test_what_is_no_uuid_is_422(stack, account):
    assert stack.ask("orders", account=account).status_code == 422
