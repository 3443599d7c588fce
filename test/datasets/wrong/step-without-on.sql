--- expect 4: -- step needs a "on" here: db1
-- dataset d
-- column a int
-- step s db1
SELECT 1 AS a;
