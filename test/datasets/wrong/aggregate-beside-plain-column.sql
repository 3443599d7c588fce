--- expect 3: column a is neither grouped nor aggregated
-- dataset d
-- column a int
-- column n int = count(*)
-- step s on db1
SELECT 1 AS a;
