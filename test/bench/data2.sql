-- data2.sql - activity for db2: psql -v users=N -v posts=N -v logs=N.  Rows come in the order of
-- time, spread over 30 days, users at random, so that one user's rows lie on as many pages.  A
-- third are comments, each on a post at random; the rest are logins, logouts and work in blogs.
\set ON_ERROR_STOP on
SET max_parallel_workers_per_gather = 0;
SET synchronous_commit = on; -- or VACUUM finds rows whose commit is not flushed: not yet visible
SET session_replication_role = replica; -- the keys are right by construction: nothing checks them
SET maintenance_work_mem = '1GB';
SELECT setseed(0.5);

-- An index is built in a tenth of the time that it takes to keep it up row by row.
CREATE TEMP TABLE later AS
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
  FROM pg_index WHERE indrelid = 'logs'::regclass AND NOT indisprimary;
SELECT format('DROP INDEX %s', name) FROM later \gexec

INSERT INTO logs (id, datetime, user_id, space_type_id, event_type_id, object_id)
SELECT i, timestamp '2025-06-01' + interval '30 days' * (i::float / :logs),
       1 + (random() * (:users - 1))::bigint,
       CASE WHEN kind < 33 THEN 3 WHEN kind < 83 THEN 1 ELSE 2 END,
       CASE WHEN kind < 33 THEN 2 WHEN kind < 58 THEN 1 WHEN kind < 83 THEN 5
            WHEN kind < 95 THEN 3 ELSE 4 END,
       CASE WHEN kind < 33 THEN 1 + (random() * (:posts - 1))::bigint WHEN kind < 83 THEN 0
            ELSE 1 + (random() * (:users - 1))::bigint END
  FROM (SELECT i, (random() * 100)::int % 100 AS kind FROM generate_series(1, :logs) AS i) AS event;

SELECT definition FROM later \gexec
VACUUM ANALYZE;
