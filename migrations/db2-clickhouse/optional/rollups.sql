-- Rollups of db2: what each day came to, kept by ClickHouse as rows come; deploy/datasets-rollup
-- reads them.  Stop what writes to logs while this runs; it may be run again, and counts anew: also
-- when it broke off, or when rows were deleted from logs later (a tally copy that mends a range).

-- What each user did on each day (UTC).  n is never 0: a row of nothing but zeros would be dropped.
CREATE TABLE IF NOT EXISTS logs_daily (
    user_id      Int64,
    date         Date32,
    n            UInt64,
    logins       UInt64,
    logouts      UInt64,
    blog_actions UInt64
)
ENGINE = SummingMergeTree
ORDER BY (user_id, date)
SETTINGS index_granularity = 128, min_compress_block_size = 4096;

-- The comments of each user under each post.
CREATE TABLE IF NOT EXISTS comments_by_post (user_id Int64, object_id Int64, n UInt64)
ENGINE = SummingMergeTree
ORDER BY (user_id, object_id)
SETTINGS index_granularity = 128, min_compress_block_size = 4096;

CREATE MATERIALIZED VIEW IF NOT EXISTS logs_daily_view TO logs_daily AS
SELECT user_id, toDate32(toTimeZone(datetime, 'UTC')) AS date, count() AS n,
       countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'login')) AS logins,
       countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'logout')) AS logouts,
       countIf(space_type_id IN (SELECT id FROM space_type WHERE name = 'blog')) AS blog_actions
  FROM logs GROUP BY user_id, date;

CREATE MATERIALIZED VIEW IF NOT EXISTS comments_by_post_view TO comments_by_post AS
SELECT user_id, object_id, count() AS n
  FROM logs WHERE event_type_id IN (SELECT id FROM event_type WHERE name = 'comment')
 GROUP BY user_id, object_id;

-- What is there by now.
TRUNCATE TABLE logs_daily;
TRUNCATE TABLE comments_by_post;

INSERT INTO logs_daily (user_id, date, n, logins, logouts, blog_actions)
SELECT user_id, toDate32(toTimeZone(datetime, 'UTC')) AS date, count() AS n,
       countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'login')),
       countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'logout')),
       countIf(space_type_id IN (SELECT id FROM space_type WHERE name = 'blog'))
  FROM logs GROUP BY user_id, date;

INSERT INTO comments_by_post (user_id, object_id, n)
SELECT user_id, object_id, count()
  FROM logs WHERE event_type_id IN (SELECT id FROM event_type WHERE name = 'comment')
 GROUP BY user_id, object_id;
