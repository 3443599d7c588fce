"""Two thousand users, every dataset of each, 64 requests in flight: not one mixed-up answer,
whichever database holds the activity."""

import pytest

import rows
from harness import as_csv, as_json, at_once, shown


@pytest.fixture(scope="module")
def stack(any_stack):
    return any_stack


def same(stack, dataset, columns, lines, format, **params):
    """Asks once; what differs from the oracle's lines, or None."""
    answer = stack.ask(dataset, wait=30, format=format, **params)
    expected = (as_csv if format == "csv" else as_json)(columns, lines)
    if answer.status_code == 200 and answer.content == expected:
        return None
    return (f"{dataset} {format} {params}: {answer.status_code}\n got      "
            f"{shown(answer.content)}\n expected {shown(expected)}")


def check(stack, requests):
    differences = [found for found in at_once(lambda request: same(stack, **request), requests)
                   if found]
    assert not differences, (f"{len(differences)} of {len(requests)} answers are wrong:\n"
                             + "\n".join(differences[:5]))


def test_the_generator_makes_what_it_should(world):
    assert len(world.logins) == rows.N_USERS == len(set(world.logins.values()))
    users_with_events = {event.user_id for event in world.events}
    assert 100 < rows.N_USERS - len(users_with_events)
    days = {event.at.date() for event in world.events}
    assert set(rows.DAYS_OF_INTEREST) <= days
    comments = [world.comments(login) for login in world.ids]
    assert any(line[1] is None for lines in comments for line in lines)  # a deleted post
    assert any(line[1] == " " for lines in comments for line in lines)
    assert any(line[3] > 3 for lines in comments for line in lines)
    assert max(len(login) for login in world.ids) == 256


def test_every_dataset_of_every_user(stack, world):
    requests = [dict(dataset=dataset, columns=columns, lines=oracle(login), format=format,
                     login=login)
                for login in world.ids
                for dataset, columns, oracle in (("comments", rows.COMMENTS, world.comments),
                                                 ("general", rows.GENERAL, world.general))
                for format in ("json", "csv")]
    world.random.shuffle(requests)
    check(stack, requests)


def test_periods_at_random(stack, world):
    requests = []
    for login in world.ids:
        since, until = world.period()
        for dataset, columns, oracle in (("comments", rows.COMMENTS, world.comments),
                                         ("general", rows.GENERAL, world.general)):
            requests.append(dict(dataset=dataset, columns=columns, format="json", login=login,
                                 lines=oracle(login, since, until), since=since, until=until))
    check(stack, requests)


def test_a_period_wider_than_what_a_database_can_represent(stack, world):
    """By itself, and beside narrow ones that share its query."""
    requests = []
    for i, login in enumerate(list(world.ids)[:200]):
        since, until = ("0001-01-01", "9999-12-31") if i % 10 == 0 else world.period()
        lines = world.general(login) if i % 10 == 0 else world.general(login, since, until)
        requests.append(dict(dataset="general", columns=rows.GENERAL, lines=lines, format="json",
                             login=login, since=since, until=until))
    for request in requests[::10]:
        check(stack, [request])
    check(stack, requests)


def test_one_user_asked_for_by_everybody(stack, world):
    """Identical requests share a message; each caller still has its own format."""
    login = max(world.ids, key=lambda login: len(world.comments(login)))
    check(stack, [dict(dataset="comments", columns=rows.COMMENTS, lines=world.comments(login),
                       format=("csv", "json")[i % 2], login=login) for i in range(640)])


def test_unknown_users_among_known_ones(stack, world):
    requests = []
    for i, login in enumerate(list(world.ids)[:320]):
        requests.append(dict(dataset="general", columns=rows.GENERAL, lines=world.general(login),
                             format="json", login=login))
        unknown = f"nobody-{i}"
        requests.append(dict(dataset="general", columns=rows.GENERAL, lines=[], format="json",
                             login=unknown))
    check(stack, requests)
