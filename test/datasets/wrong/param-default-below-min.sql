--- expect 3: parameter p: the default is outside its limits
-- dataset d
-- param p int min=3 default=2
-- column a int
-- step s on db1
SELECT 1 AS a;
