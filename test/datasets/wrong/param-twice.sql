--- expect 4: a second parameter p
-- dataset d
-- param p int
-- param p text
-- column a int
-- step s on db1
SELECT 1 AS a;
