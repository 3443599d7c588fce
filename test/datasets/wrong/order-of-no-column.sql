--- expect 4: order b: there is no such column
-- dataset d
-- column a int
-- order a, b
-- step s on db1
SELECT 1 AS a;
