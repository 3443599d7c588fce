-- dataset  comments: comments a user left, by post
-- param    login text required max=256
-- param    since date
-- param    until date
-- column   user_login text
-- column   post_header text null
-- column   post_author_login text null
-- column   total_comments int
-- order    total_comments desc, post_header

--- As deploy/datasets/comments.sql, with the rollups of tally migrate add db2 rollups: without a
--- period closed days from there and later ones from logs; within a period all from logs.

-- step user on db1 by login
SELECT q.login, u.login AS user_login, u.id AS user_id
  FROM unnest(:login) AS q(login) JOIN users u ON u.login = q.login;

-- step activity on db2 by user_id, since, until for postgres
SELECT q.user_id, q.since, q.until, c.post_id, sum(c.n)::bigint AS total_comments
  FROM unnest(:user_id, :since, :until) AS q(user_id, since, until)
 CROSS JOIN LATERAL (
       SELECT object_id AS post_id, n FROM comments_by_post
        WHERE user_id = q.user_id AND q.since IS NULL AND q.until IS NULL
        UNION ALL
       SELECT l.object_id, count(*)
         FROM logs l JOIN event_type e ON e.id = l.event_type_id AND e.name = 'comment'
        WHERE l.user_id = q.user_id
          AND l.datetime >= CASE WHEN q.since IS NULL AND q.until IS NULL
                                 THEN (SELECT closed_until FROM rollup_state)
                                 ELSE coalesce(q.since, '0001-01-01') END
          AND (q.until IS NULL OR l.datetime < q.until + 1)
        GROUP BY 1) AS c
 GROUP BY 1, 2, 3, 4;

-- step activity on db2 by user_id, since, until for clickhouse
SELECT q.user_id AS user_id, q.since AS since, q.until AS until, c.post_id AS post_id,
       sum(c.n) AS total_comments
  FROM (SELECT user_id, object_id AS post_id, toDate32(NULL) AS date, sum(n) AS n
          FROM comments_by_post WHERE user_id IN :user_id GROUP BY user_id, object_id
         UNION ALL
        SELECT user_id, object_id, toNullable(toDate32(datetime)) AS date, count()
          FROM logs
         WHERE user_id IN (SELECT id FROM (SELECT 1)
                            ARRAY JOIN :user_id AS id, :since AS since, :until AS until
                            WHERE since IS NOT NULL OR until IS NOT NULL)
           AND event_type_id IN (SELECT id FROM event_type WHERE name = 'comment')
         GROUP BY user_id, object_id, date) AS c
  JOIN (SELECT user_id, since, until FROM (SELECT 1)
         ARRAY JOIN :user_id AS user_id, :since AS since, :until AS until) AS q
    ON c.user_id = q.user_id
 WHERE (c.date IS NULL) = (q.since IS NULL AND q.until IS NULL)
   AND (q.since IS NULL OR c.date >= q.since) AND (q.until IS NULL OR c.date <= q.until)
 GROUP BY ALL;

-- step post on db1 by post_id keep
SELECT p.id AS post_id, p.header AS post_header, a.login AS post_author_login
  FROM post p JOIN users a ON a.id = p.author_id
 WHERE p.id = ANY (:post_id);
