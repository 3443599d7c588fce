--- expect 6: a second statement in the step of line 4
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
SELECT 2;
