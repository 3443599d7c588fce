--- expect 3: -- param needs a "=" here: 
-- dataset d
-- param p int max
-- column a int
-- step s on db1
SELECT 1 AS a;
