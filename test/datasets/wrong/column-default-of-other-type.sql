--- expect 3: "none" must be a whole number from -9223372036854775808 to 9223372036854775807
-- dataset d
-- column a int = sum(b) default none
-- step s on db1
SELECT 1 AS a;
