--- expect 3: -- column needs a type
-- dataset d
-- column a
-- step s on db1
SELECT 1 AS a;
