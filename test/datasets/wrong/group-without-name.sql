--- expect 4: -- group needs the name of a column
-- dataset d
-- column a int
-- group by
-- step s on db1
SELECT 1 AS a;
