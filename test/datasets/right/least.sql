-- dataset least
-- column a int
-- step s on db1
SELECT 1 AS a;