--- expect 4: "rows" is not expected in -- limit
-- dataset d
-- column a int
-- limit 5 rows
-- step s on db1
SELECT 1 AS a;
