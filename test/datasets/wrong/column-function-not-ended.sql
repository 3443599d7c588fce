--- expect 3: -- column needs a ")" here: 
-- dataset d
-- column a int = sum(b
-- step s on db1
SELECT 1 AS a;
