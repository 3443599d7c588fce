--- expect 6: a second step s
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
-- step s on db1
SELECT 1 AS a;
