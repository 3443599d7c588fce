--- expect 4: unknown directive "-- the": dataset, param, column, order, group by, limit or step; a comment begins with ---
-- dataset d
-- column a int
-- the step
-- step s on db1
SELECT 1 AS a;
