--- expect 1: there is no -- column
-- dataset d
-- step s on db1
SELECT 1 AS a;
