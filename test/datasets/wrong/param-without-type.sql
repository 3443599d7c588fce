--- expect 3: -- param needs a type
-- dataset d
-- param p
-- column a int
-- step s on db1
SELECT 1 AS a;
