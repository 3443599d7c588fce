--- expect 3: -- column needs the name of a column
-- dataset d
-- column 
-- step s on db1
SELECT 1 AS a;
