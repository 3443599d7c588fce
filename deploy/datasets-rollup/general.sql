-- dataset general: activity by day
-- param   login text required max=256
-- param   since date
-- param   until date
-- column  date date
-- column  logins int
-- column  logouts int
-- column  blog_actions int
-- order   date

--- As deploy/datasets/general.sql, with the rollups of tally migrate add db2 rollups: in PostgreSQL
--- closed days from there and later ones from logs; ClickHouse counts a row in the moment it comes, so
--- that all days are there, and a query of two tables would cost it twice as much.

-- step user on db1 by login
SELECT q.login, u.id AS user_id FROM unnest(:login) AS q(login) JOIN users u ON u.login = q.login;

-- step activity on db2 by user_id, since, until for postgres
SELECT q.*, d.date, d.logins, d.logouts, d.blog_actions
  FROM unnest(:user_id, :since, :until) AS q(user_id, since, until)
 CROSS JOIN LATERAL (
       SELECT date, logins, logouts, blog_actions FROM logs_daily WHERE user_id = q.user_id
        UNION ALL
       SELECT l.datetime::date, count(*) FILTER (WHERE e.name = 'login'),
              count(*) FILTER (WHERE e.name = 'logout'), count(*) FILTER (WHERE s.name = 'blog')
         FROM logs l
         JOIN event_type e ON e.id = l.event_type_id JOIN space_type s ON s.id = l.space_type_id
        WHERE l.user_id = q.user_id AND l.datetime >= (SELECT closed_until FROM rollup_state)
        GROUP BY 1) AS d
 WHERE (q.since IS NULL OR d.date >= q.since) AND (q.until IS NULL OR d.date <= q.until);

-- step activity on db2 by user_id within date from since to until for clickhouse
SELECT user_id, date, sum(logins) AS logins, sum(logouts) AS logouts, sum(blog_actions) AS blog_actions
  FROM logs_daily
 WHERE user_id IN :user_id AND (:since IS NULL OR date >= :since) AND (:until IS NULL OR date <= :until)
 GROUP BY user_id, date;
