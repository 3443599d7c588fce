--- expect 1: there is no -- dataset NAME: title
-- column a int
-- step s on db1
SELECT 1 AS a;
