--- expect 4: a second column a
-- dataset d
-- column a int
-- column a text
-- step s on db1
SELECT 1 AS a;
