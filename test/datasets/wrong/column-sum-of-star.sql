--- expect 3: "*" is no name of a column: a-z, 0-9 and _, at most 63, not a digit first
-- dataset d
-- column a int = sum(*)
-- step s on db1
SELECT 1 AS a;
