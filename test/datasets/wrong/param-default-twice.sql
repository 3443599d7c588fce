--- expect 3: default= twice
-- dataset d
-- param p int default=1 default=2
-- column a int
-- step s on db1
SELECT 1 AS a;
