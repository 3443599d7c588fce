--- expect 3: parameter format: the name is Tally's own
-- dataset d
-- param format text
-- column a int
-- step s on db1
SELECT 1 AS a;
