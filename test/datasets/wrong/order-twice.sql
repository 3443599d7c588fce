--- expect 5: a second -- order
-- dataset d
-- column a int
-- order a
-- order a
-- step s on db1
SELECT 1 AS a;
