-- dataset active-days: how much a user did on each day of a period
-- param   login text required max=256
-- param   since date
-- param   until date
-- column  day date
-- column  events int
-- order   day

-- step user on db1 by login
SELECT q.login, u.id AS user_id FROM unnest(:login) AS q(login) JOIN users u ON u.login = q.login;

-- step activity on db2 by user_id within day from since to until
SELECT user_id, datetime::date AS day, count(*) AS events
  FROM logs
 WHERE user_id = ANY (:user_id) AND (:since IS NULL OR datetime >= :since)
   AND (:until IS NULL OR datetime < :until + 1)
 GROUP BY 1, 2;

-- step activity on db2 by user_id within day from since to until for clickhouse
SELECT user_id, toDate32(datetime) AS day, count() AS events
  FROM logs
 WHERE user_id IN :user_id AND (:since IS NULL OR datetime >= :since)
   AND (:until IS NULL OR datetime < :until + 1)
 GROUP BY user_id, day;
