--- expect 3: parameter csv_safe: the name is Tally's own
-- dataset d
-- param csv_safe bool
-- column a int
-- step s on db1
SELECT 1 AS a;
