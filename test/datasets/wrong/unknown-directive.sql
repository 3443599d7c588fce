--- expect 2: unknown directive "-- columns": dataset, param, column, order, group by, limit or step; a comment begins with ---
-- columns a int
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
