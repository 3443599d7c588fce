--- expect 3: "a" is no name of a parameter: a-z, 0-9 and _, at most 63, not a digit first
-- dataset d
-- param 'a' int
-- column a int
-- step s on db1
SELECT 1 AS a;
