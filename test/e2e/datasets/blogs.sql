-- dataset blogs: a user's blogs, their posts and the comments received
-- param   login text required max=256
-- column  user_login text
-- column  blog_name text
-- column  posts int = count(distinct post_id)
-- column  comments int = sum(n) default 0
-- group by user_login, blog_id, blog_name

-- step blog on db1 by login
SELECT q.login, u.login AS user_login, b.id AS blog_id, b.name AS blog_name
  FROM unnest(:login) AS q(login) JOIN users u ON u.login = q.login JOIN blog b ON b.owner_id = u.id;

-- step post on db1 by blog_id keep
SELECT blog_id, id AS post_id FROM post WHERE blog_id = ANY (:blog_id);

-- step comment on db2 by post_id keep
SELECT object_id AS post_id, count(*) AS n
  FROM logs WHERE event_type_id = 2 AND object_id = ANY (:post_id) GROUP BY 1;

-- step comment on db2 by post_id keep for clickhouse
SELECT object_id AS post_id, count() AS n
  FROM logs WHERE event_type_id = 2 AND object_id IN :post_id GROUP BY post_id;
