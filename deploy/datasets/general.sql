-- dataset general: activity by day
-- param   login text required max=256
-- param   since date
-- param   until date
-- column  date date
-- column  logins int
-- column  logouts int
-- column  blog_actions int
-- order   date

-- step user on db1 by login
SELECT q.login, u.id AS user_id FROM unnest(:login) AS q(login) JOIN users u ON u.login = q.login;

-- step activity on db2 by user_id, since, until
SELECT q.*, l.datetime::date AS date, count(*) FILTER (WHERE e.name = 'login') AS logins,
       count(*) FILTER (WHERE e.name = 'logout') AS logouts, count(*) FILTER (WHERE s.name = 'blog') AS blog_actions
  FROM unnest(:user_id, :since, :until) AS q(user_id, since, until)
  JOIN logs l ON l.user_id = q.user_id
   AND (q.since IS NULL OR l.datetime >= q.since) AND (q.until IS NULL OR l.datetime < q.until + 1)
  JOIN event_type e ON e.id = l.event_type_id JOIN space_type s ON s.id = l.space_type_id
 GROUP BY 1, 2, 3, 4;

-- step activity on db2 by user_id, since, until for clickhouse
SELECT q.user_id AS user_id, q.since AS since, q.until AS until, d.date AS date,
       d.logins AS logins, d.logouts AS logouts, d.blog_actions AS blog_actions
  FROM (SELECT user_id, toDate32(datetime) AS date,
               countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'login')) AS logins,
               countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'logout')) AS logouts,
               countIf(space_type_id IN (SELECT id FROM space_type WHERE name = 'blog')) AS blog_actions
          FROM logs WHERE user_id IN :user_id GROUP BY user_id, date) AS d
  JOIN (SELECT user_id, since, until FROM (SELECT 1)
         ARRAY JOIN :user_id AS user_id, :since AS since, :until AS until) AS q
    ON d.user_id = q.user_id
 WHERE (q.since IS NULL OR d.date >= q.since) AND (q.until IS NULL OR d.date <= q.until);
