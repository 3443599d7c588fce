--- expect 3: parameter p: the default is outside its limits
-- dataset d
-- param p text default=привет max=5
-- column a int
-- step s on db1
SELECT 1 AS a;
