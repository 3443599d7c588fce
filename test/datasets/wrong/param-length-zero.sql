--- expect 3: max= of text is its length in characters, 1 to 16384
-- dataset d
-- param p text max=0
-- column a int
-- step s on db1
SELECT 1 AS a;
