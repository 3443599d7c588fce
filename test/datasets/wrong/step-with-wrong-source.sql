--- expect 4: "db-1" is no name of a source: a-z, 0-9 and _, at most 63, not a digit first
-- dataset d
-- column a int
-- step s on db-1
SELECT 1 AS a;
