--- expect 4: -- step needs the name of a kind
-- dataset d
-- column a int
-- step s on db1 for
SELECT 1 AS a;
