--- expect 3: min= does not go with type uuid
-- dataset d
-- param p uuid min=1
-- column a int
-- step s on db1
SELECT 1 AS a;
