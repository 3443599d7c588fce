--- expect 5: -- column comes before the statement of the step in line 4
-- dataset d
-- column a int
-- step s on db1
-- column b int
SELECT 1;
