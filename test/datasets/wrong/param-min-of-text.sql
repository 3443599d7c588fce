--- expect 3: min= does not go with type text
-- dataset d
-- param p text min=1
-- column a int
-- step s on db1
SELECT 1 AS a;
