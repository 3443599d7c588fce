-- data1.sql - content for db1: psql -v users=N -v posts=N.  Users userN, one blog each, posts by
-- authors at random.  The same seed, the same rows.
\set ON_ERROR_STOP on
SET max_parallel_workers_per_gather = 0;
SET synchronous_commit = on; -- or VACUUM finds rows whose commit is not flushed: not yet visible
SET session_replication_role = replica; -- the keys are right by construction: nothing checks them
SELECT setseed(0.25);

INSERT INTO users (id, login, email)
SELECT i, 'user' || i, 'user' || i || '@example.org' FROM generate_series(1, :users) AS i;

INSERT INTO blog (id, owner_id, name)
SELECT i, i, 'Blog of user ' || i FROM generate_series(1, :users) AS i;

INSERT INTO post (id, header, text, author_id, blog_id)
SELECT i, 'Post ' || i || ' about ' || md5(i::text), repeat('word ', 20), author, author
  FROM (SELECT i, 1 + (random() * (:users - 1))::bigint AS author
          FROM generate_series(1, :posts) AS i) AS written;

VACUUM ANALYZE;
