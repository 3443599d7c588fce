--- expect 2: -- dataset needs a name of a-z, 0-9, _ and -, a letter first, at most 63, and may have a title: -- dataset NAME: title
-- dataset Users
-- column a int
-- step s on db1
SELECT 1 AS a;
