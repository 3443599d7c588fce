--- expect 6: a second step s for postgres
-- dataset d
-- column a int
-- step s on db1 for postgres
SELECT 1 AS a;
-- step s on db1 for postgres
SELECT 1 AS a;
