--- expect 3: parameter p: the default is outside its limits
-- dataset d
-- param p decimal max=1.10 default=1.11
-- column a int
-- step s on db1
SELECT 1 AS a;
