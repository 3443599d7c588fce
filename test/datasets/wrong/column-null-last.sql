--- expect 3: "null" is not expected in -- column
-- dataset d
-- column a int = sum(b) null
-- step s on db1
SELECT 1 AS a;
