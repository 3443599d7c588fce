-- dataset top-posts: the posts with the most comments in a period
-- param   since date required
-- param   until date required
-- column  post_id int
-- column  post_header text null
-- column  comments int
-- order   comments desc, post_id
-- limit   10

-- step activity on db2 by since, until
SELECT q.since, q.until, l.object_id AS post_id, count(*) AS comments
  FROM unnest(:since, :until) AS q(since, until)
  JOIN logs l ON l.datetime >= q.since AND l.datetime < q.until + 1
 WHERE l.event_type_id = 2
 GROUP BY 1, 2, 3;

-- step activity on db2 by since, until for clickhouse
SELECT q.since AS since, q.until AS until, l.object_id AS post_id, count() AS comments
  FROM logs AS l
 CROSS JOIN (SELECT since, until FROM (SELECT 1) ARRAY JOIN :since AS since, :until AS until) AS q
 WHERE l.event_type_id = 2 AND l.datetime >= q.since AND l.datetime < q.until + 1
 GROUP BY ALL;

-- step post on db1 by post_id keep
SELECT id AS post_id, header AS post_header FROM post WHERE id = ANY (:post_id);
