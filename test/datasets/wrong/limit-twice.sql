--- expect 5: a second -- limit
-- dataset d
-- column a int
-- limit 1
-- limit 2
-- step s on db1
SELECT 1 AS a;
