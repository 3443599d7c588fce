--- expect 4: -- limit: a value of type int is missing
-- dataset d
-- column a int
-- limit
-- step s on db1
SELECT 1 AS a;
