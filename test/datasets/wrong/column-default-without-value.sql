--- expect 3: -- column: a value of type text is missing
-- dataset d
-- column a text = min(b) default
-- step s on db1
SELECT 1 AS a;
