--- expect 4: order a twice
-- dataset d
-- column a int
-- order a, a desc
-- step s on db1
SELECT 1 AS a;
