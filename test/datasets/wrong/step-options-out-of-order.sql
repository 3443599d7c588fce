--- expect 4: "keep" is not expected in -- step
-- dataset d
-- column a int
-- step s on db1 cache 5s keep
SELECT 1 AS a;
