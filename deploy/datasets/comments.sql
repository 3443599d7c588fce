-- dataset  comments: comments a user left, by post
-- param    login text required max=256
-- param    since date
-- param    until date
-- column   user_login text
-- column   post_header text null
-- column   post_author_login text null
-- column   total_comments int
-- order    total_comments desc, post_header

--- A database of the original service has the table author instead of users: write author for
--- users in this file and in general.sql, or create a view of that name.

-- step user on db1 by login
SELECT q.login, u.login AS user_login, u.id AS user_id
  FROM unnest(:login) AS q(login) JOIN users u ON u.login = q.login;

-- step activity on db2 by user_id, since, until
SELECT q.user_id, q.since, q.until, l.object_id AS post_id, count(*) AS total_comments
  FROM unnest(:user_id, :since, :until) AS q(user_id, since, until)
  JOIN logs l ON l.user_id = q.user_id
   AND (q.since IS NULL OR l.datetime >= q.since) AND (q.until IS NULL OR l.datetime < q.until + 1)
  JOIN event_type e ON e.id = l.event_type_id AND e.name = 'comment'
 GROUP BY q.user_id, q.since, q.until, l.object_id;

-- step activity on db2 by user_id, since, until for clickhouse
SELECT q.user_id AS user_id, q.since AS since, q.until AS until, l.object_id AS post_id,
       count() AS total_comments
  FROM (SELECT user_id, datetime, object_id FROM logs
         WHERE user_id IN :user_id
           AND event_type_id IN (SELECT id FROM event_type WHERE name = 'comment')) AS l
  JOIN (SELECT user_id, since, until FROM (SELECT 1)
         ARRAY JOIN :user_id AS user_id, :since AS since, :until AS until) AS q
    ON l.user_id = q.user_id
 WHERE (q.since IS NULL OR l.datetime >= q.since) AND (q.until IS NULL OR l.datetime < q.until + 1)
 GROUP BY ALL;

-- step post on db1 by post_id keep
SELECT p.id AS post_id, p.header AS post_header, a.login AS post_author_login
  FROM post p JOIN users a ON a.id = p.author_id
 WHERE p.id = ANY (:post_id);
