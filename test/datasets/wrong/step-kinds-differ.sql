--- expect 6: step s is there already, in line 4; for another kind of database it must not differ in source, keep and cache
-- dataset d
-- column a int
-- step s on db1 for postgres
SELECT 1 AS a;
-- step s on db1 keep for clickhouse
SELECT 1 AS a;
