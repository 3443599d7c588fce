--- expect 4: "S" is no name of a step: a-z, 0-9 and _, at most 63, not a digit first
-- dataset d
-- column a int
-- step S on db1
SELECT 1 AS a;
