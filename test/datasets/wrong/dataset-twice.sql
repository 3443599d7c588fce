--- expect 3: a second -- dataset
-- dataset d
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
