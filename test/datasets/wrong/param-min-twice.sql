--- expect 3: min= twice
-- dataset d
-- param p int min=1 min=2
-- column a int
-- step s on db1
SELECT 1 AS a;
