--- expect 4: -- group needs a "by" here: a
-- dataset d
-- column a int
-- group a
-- step s on db1
SELECT 1 AS a;
