--- expect 3: parameter p is required and has a default
-- dataset d
-- param p int required default=1
-- column a int
-- step s on db1
SELECT 1 AS a;
