--- expect 3: max= does not go with type bool
-- dataset d
-- param p bool max=1
-- column a int
-- step s on db1
SELECT 1 AS a;
