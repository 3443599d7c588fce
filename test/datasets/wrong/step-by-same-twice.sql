--- expect 4: by a twice
-- dataset d
-- column a int
-- step s on db1 by a, a
SELECT 1 AS a;
