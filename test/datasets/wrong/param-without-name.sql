--- expect 3: -- param needs the name of a parameter
-- dataset d
-- param 
-- column a int
-- step s on db1
SELECT 1 AS a;
