--- expect 3: max= twice
-- dataset d
-- param p float max=1 max=2
-- column a int
-- step s on db1
SELECT 1 AS a;
