--- expect 4: -- order needs the name of a column
-- dataset d
-- column a int
-- order a,
-- step s on db1
SELECT 1 AS a;
