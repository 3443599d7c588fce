--- expect 12: step s is for more than 4 kinds
-- dataset d
-- column a int
-- step s on db1 for k0
SELECT 1 AS a;
-- step s on db1 for k1
SELECT 1 AS a;
-- step s on db1 for k2
SELECT 1 AS a;
-- step s on db1 for k3
SELECT 1 AS a;
-- step s on db1 for k4
SELECT 1 AS a;
