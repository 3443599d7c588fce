--- expect 5: a second -- group by
-- dataset d
-- column a int
-- group by a
-- group by a
-- step s on db1
SELECT 1 AS a;
