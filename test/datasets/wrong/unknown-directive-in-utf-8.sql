--- expect 2: unknown directive "-- комментарийкомм": dataset, param, column, order, group by, limit or step; a comment begins with ---
-- комментарийкомментарий
-- dataset d
-- column a int
-- step s on db1
SELECT 1 AS a;
