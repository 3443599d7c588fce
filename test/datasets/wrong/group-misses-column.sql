--- expect 4: column b is neither grouped nor aggregated
-- dataset d
-- column a int
-- column b int
-- group by a
-- step s on db1
SELECT 1 AS a;
