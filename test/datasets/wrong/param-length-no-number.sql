--- expect 3: "long" must be a whole number from -9223372036854775808 to 9223372036854775807
-- dataset d
-- param p text max=long
-- column a int
-- step s on db1
SELECT 1 AS a;
