--- expect 4: -- step needs the name of a source
-- dataset d
-- column a int
-- step s on
SELECT 1 AS a;
