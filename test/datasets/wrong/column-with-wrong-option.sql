--- expect 3: "nullable" is not expected in -- column
-- dataset d
-- column a int nullable
-- step s on db1
SELECT 1 AS a;
