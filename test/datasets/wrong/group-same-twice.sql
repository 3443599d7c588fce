--- expect 4: group by a twice
-- dataset d
-- column a int
-- group by a, a
-- step s on db1
SELECT 1 AS a;
