--- expect 6: step t has no statement
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
-- step t on db1
--- SELECT 1;
