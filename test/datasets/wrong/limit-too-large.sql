--- expect 4: -- limit is 1 to 10000000 rows
-- dataset d
-- column a int
-- limit 10000001
-- step s on db1
SELECT 1 AS a;
