--- expect 6: -- column stands before the first step
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
-- column b int
