--- expect 4: -- step needs the name of a column
-- dataset d
-- column a int
-- step s on db1 by
SELECT 1 AS a;
