--- expect 4: "down" is not expected in -- order
-- dataset d
-- column a int
-- order a down
-- step s on db1
SELECT 1 AS a;
