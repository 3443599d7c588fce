--- expect 3: after = comes count(*), count(c), count(distinct c), sum(c), min(c) or max(c)
-- dataset d
-- column a int = avg(b)
-- step s on db1
SELECT 1 AS a;
