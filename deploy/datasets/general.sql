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

-- step activity on db2 by user_id within date from since to until for clickhouse
SELECT user_id, toDate32(datetime) AS date,
       countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'login')) AS logins,
       countIf(event_type_id IN (SELECT id FROM event_type WHERE name = 'logout')) AS logouts,
       countIf(space_type_id IN (SELECT id FROM space_type WHERE name = 'blog')) AS blog_actions
  FROM logs
 WHERE user_id IN :user_id AND (:since IS NULL OR datetime >= :since) AND (:until IS NULL OR datetime < :until + 1)
 GROUP BY user_id, date;
