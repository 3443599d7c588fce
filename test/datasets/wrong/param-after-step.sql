--- expect 6: -- param stands before the first step
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
-- param p int
