--- expect 3: -- param: a value of type int is missing
-- dataset d
-- param p int default=
-- column a int
-- step s on db1
SELECT 1 AS a;
