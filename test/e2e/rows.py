"""Generated content and activity, and what the datasets say of it.

The oracle counts in Python over the generated rows.  It shares nothing with the datasets' SQL."""

import bisect
import collections
import dataclasses
import datetime
import itertools
import random

import psycopg

N_USERS = 2000
FIRST_ID = 100_000  # far from the demo data's
LOGIN, COMMENT, CREATE_POST, DELETE_POST, LOGOUT = 1, 2, 3, 4, 5
GLOBAL, BLOG, POST = 1, 2, 3
SPACE = {LOGIN: GLOBAL, LOGOUT: GLOBAL, CREATE_POST: BLOG, DELETE_POST: BLOG, COMMENT: POST}
FIRST_DAY, LAST_DAY = datetime.date(2019, 1, 1), datetime.date(2024, 12, 31)

COMMENTS = ("user_login", "post_header", "post_author_login", "total_comments")
GENERAL = ("date", "logins", "logouts", "blog_actions")
BLOGS = ("user_login", "blog_name", "posts", "comments")
ACTIVE_DAYS = ("day", "events")
TOP_POSTS = ("post_id", "post_header", "comments")

STRANGE_LOGINS = [
    "O'Brien", '"quoted"', "''", '""', "two words", " leading", "trailing ", "  ", "a,b", "a;b",
    "a\tb", "a\nb", "a\r\nb", "\x01\x1f\x7f", "%", "%25", "_", "a%b_c", "\\", "\\\\", "a\\'b",
    "\\x41", "100%", "a+b", "a&b=c", "a#b", "a?b", "a/b", "..", "/", "null", "NULL", "{}", "{a,b}",
    "{\"a\"}", "$1", "$$", ":login", "'; DROP TABLE users; --", "--", "/* */", "=1+1", "+plus",
    "-minus", "@at", "'=already", "Anna", "anna", "ANNA", "e\u0301", "\u00e9", "владимир",
    "Владимир", "ёжик", "Ёжик", "наталья смирнова", "日本語", "עברית", "🙂", "👩‍👩‍👧‍👦", "a🙂b",
    "\u200b", "\ufeff", "\uffff", "\U0010ffff", "\ud7ff\ue000", "x" * 256, "ж" * 256, "🙂" * 256,
    "x" * 255, "'" * 256, "\\" * 256, "%" * 256, "true", "0", "-1e5", "1.10", "2024-02-29",
]
STRANGE_TEXTS = [" ", '"', "'", ",", "a,b", "\r\n", "=SUM(A1)", "@cmd", "ЖК Ромашка", "🙂",
                 "\\", "null", "a\u2028b", "\t", "-"]
ALPHABETS = ["abcdefghijklmnopqrstuvwxyz0123456789", "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
             "aA'\"\\%_ .-+", "🙂🙃😀👍🏽aé"]
DAYS_OF_INTEREST = [datetime.date(2020, 2, 28), datetime.date(2020, 2, 29),
                    datetime.date(2020, 3, 1), datetime.date(2024, 2, 29),
                    datetime.date(2019, 12, 31), datetime.date(2020, 1, 1),
                    datetime.date(2023, 12, 31), datetime.date(2024, 1, 1), FIRST_DAY, LAST_DAY]
EDGES = [datetime.time(0, 0, 0), datetime.time(23, 59, 59, 999999), datetime.time(0, 0, 0, 1)]


@dataclasses.dataclass(frozen=True)
class Event:
    at: datetime.datetime
    user_id: int
    kind: int
    object_id: int


@dataclasses.dataclass(frozen=True)
class Post:
    id: int
    header: str
    author_id: int
    blog_id: int


@dataclasses.dataclass(frozen=True)
class Blog:
    id: int
    name: str
    owner_id: int


def text_key(text):
    """Text by its bytes, nulls last."""
    return (text is None, (text or "").encode())


class World:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.logins = self._make_logins()  # by user id
        self.ids = {login: id for id, login in self.logins.items()}
        self.blogs, self.posts, deleted = self._make_blogs()
        self.events = self._make_events([*self.posts, *deleted])
        self.events_of = collections.defaultdict(list)
        for event in self.events:
            self.events_of[event.user_id].append(event)
        self.comments_by_time = sorted((event.at, event.object_id) for event in self.events
                                       if event.kind == COMMENT)
        self.comments_of_post = collections.Counter(post for _, post in self.comments_by_time)
        self.posts_of_blog = collections.defaultdict(list)
        for post in self.posts.values():
            self.posts_of_blog[post.blog_id].append(post.id)

    # ---- making ------------------------------------------------------------------------------

    def _make_logins(self):
        logins = dict.fromkeys(STRANGE_LOGINS)
        while len(logins) < N_USERS:
            alphabet = self.random.choice(ALPHABETS)
            length = self.random.choice([1, 3, 8, 8, 12, 40])
            logins["".join(self.random.choices(alphabet, k=length))] = None
        shuffled = list(logins)
        self.random.shuffle(shuffled)
        return {FIRST_ID + 3 * i: login for i, login in enumerate(shuffled)}

    def _text(self):
        if self.random.random() < 0.1:
            return self.random.choice(STRANGE_TEXTS)
        words = self.random.choices(["ЖК", "дом", "house", "O'Hara", "сад", "50%", "№1"], k=3)
        return " ".join(words)

    def _make_blogs(self):
        blogs, posts, deleted = {}, {}, []
        ids = itertools.count(FIRST_ID)
        for owner_id in self.logins:
            for _ in range(self.random.choice([0, 0, 1, 1, 2, 3])):
                blog = Blog(next(ids), self._text(), owner_id)
                blogs[blog.id] = blog
        blog_list, user_ids = list(blogs.values()), list(self.logins)
        for post_id in range(FIRST_ID, FIRST_ID + 4000):
            blog = self.random.choice(blog_list)
            author_id = blog.owner_id if self.random.random() < 0.8 \
                else self.random.choice(user_ids)
            if self.random.random() < 0.15:
                deleted.append(post_id)
            else:
                posts[post_id] = Post(post_id, self._text(), author_id, blog.id)
        return blogs, posts, deleted

    def day(self):
        if self.random.random() < 0.3:
            return self.random.choice(DAYS_OF_INTEREST)
        days = (LAST_DAY - FIRST_DAY).days
        return FIRST_DAY + datetime.timedelta(self.random.randint(0, days))

    def _time(self):
        if self.random.random() < 0.1:
            return self.random.choice(EDGES)
        return datetime.time(self.random.randrange(24), self.random.randrange(60),
                             self.random.randrange(60), self.random.randrange(10**6))

    def _make_events(self, post_ids):
        events = []
        blog_ids = list(self.blogs)
        popular = post_ids[::200]
        kinds = [LOGIN, LOGOUT, COMMENT, COMMENT, COMMENT, CREATE_POST, DELETE_POST]
        for user_id in self.logins:
            if self.random.random() < 0.15:
                continue
            favourites = self.random.choices(post_ids, k=3) + self.random.choices(popular, k=2)
            for day in {self.day() for _ in range(self.random.randint(1, 6))}:
                for _ in range(self.random.choice([1, 2, 5, 10])):
                    kind = self.random.choice(kinds)
                    object_id = {POST: self.random.choice(favourites), GLOBAL: 0,
                                 BLOG: self.random.choice(blog_ids)}[SPACE[kind]]
                    at = datetime.datetime.combine(day, self._time())
                    events.append(Event(at, user_id, kind, object_id))
        self.random.shuffle(events)
        return events

    def period(self):
        """Two days, or one of them, or neither; now and then the wrong way round."""
        since, until = sorted([self.day(), self.day()])
        if self.random.random() < 0.05:
            since, until = until, since
        choice = self.random.random()
        if choice < 0.2:
            return since, None
        if choice < 0.4:
            return None, until
        return (since, since) if choice < 0.5 else (since, until)

    # ---- loading -----------------------------------------------------------------------------

    def load(self, db1, db2):
        def copy(connection, table, columns, lines):
            with connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as into:
                for line in lines:
                    into.write_row(line)

        with psycopg.connect(db1) as connection:
            copy(connection, "users", "id, login, email",
                 ((id, login, f"u{id}@example.org") for id, login in self.logins.items()))
            copy(connection, "blog", "id, owner_id, name, description",
                 ((blog.id, blog.owner_id, blog.name, "") for blog in self.blogs.values()))
            copy(connection, "post", "id, header, text, author_id, blog_id",
                 ((post.id, post.header, "", post.author_id, post.blog_id)
                  for post in self.posts.values()))
        with psycopg.connect(db2) as connection:
            copy(connection, "logs",
                 "id, datetime, user_id, space_type_id, event_type_id, object_id",
                 ((FIRST_ID + i, event.at, event.user_id, SPACE[event.kind], event.kind,
                   event.object_id) for i, event in enumerate(self.events)))
        for url in db1, db2:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ANALYZE")

    def logs_csv(self):
        """What load copies into logs, as text."""
        return "".join(f"{FIRST_ID + i},{event.at},{event.user_id},{SPACE[event.kind]},"
                       f"{event.kind},{event.object_id}\n" for i, event in enumerate(self.events))

    # ---- the oracle --------------------------------------------------------------------------

    def _events(self, login, since, until):
        return [event for event in self.events_of[self.ids.get(login)]
                if (since is None or event.at.date() >= since)
                and (until is None or event.at.date() <= until)]

    def comments(self, login, since=None, until=None):
        counts = collections.Counter(event.object_id for event in self._events(login, since, until)
                                     if event.kind == COMMENT)
        lines = []
        for post_id, count in counts.items():
            post = self.posts.get(post_id)
            lines.append((login, post and post.header, post and self.logins[post.author_id],
                          count))
        return sorted(lines, key=lambda line: (-line[3], text_key(line[1]), text_key(line[2])))

    def general(self, login, since=None, until=None):
        days = collections.defaultdict(lambda: [0, 0, 0])
        for event in self._events(login, since, until):
            counts = days[event.at.date().isoformat()]
            counts[0] += event.kind == LOGIN
            counts[1] += event.kind == LOGOUT
            counts[2] += event.kind in (CREATE_POST, DELETE_POST)
        return [(day, *days[day]) for day in sorted(days)]

    def active_days(self, login, since=None, until=None):
        """ACTIVE_DAYS of dataset active-days, in its order."""
        days = collections.Counter(event.at.date().isoformat()
                                   for event in self._events(login, since, until))
        return sorted(days.items())

    def blogs_of(self, login):
        lines = []
        for blog in self.blogs.values():
            if blog.owner_id == self.ids.get(login):
                posts = self.posts_of_blog.get(blog.id, [])
                lines.append((login, blog.name, len(posts),
                              sum(self.comments_of_post[post] for post in posts)))
        return sorted(lines, key=lambda line: (text_key(line[1]), line[2], line[3]))

    def top_posts(self, since, until):
        first = bisect.bisect_left(self.comments_by_time,
                                   (datetime.datetime.combine(since, datetime.time()),))
        counts = collections.Counter()
        for at, post_id in self.comments_by_time[first:]:
            if at.date() > until:
                break
            counts[post_id] += 1
        top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]
        return [(post, self.posts[post].header if post in self.posts else None, n)
                for post, n in top]
