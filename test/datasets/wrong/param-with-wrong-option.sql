--- expect 3: "optional" is not expected in -- param
-- dataset d
-- param p int optional
-- column a int
-- step s on db1
SELECT 1 AS a;
