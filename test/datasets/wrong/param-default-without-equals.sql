--- expect 3: -- param needs a "=" here: 5
-- dataset d
-- param p int default 5
-- column a int
-- step s on db1
SELECT 1 AS a;
