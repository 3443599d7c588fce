--- expect 5: -- step comes before the statement of the step in line 4
-- dataset d
-- column a int
-- step s on db1
-- step t on db1
SELECT 1;
