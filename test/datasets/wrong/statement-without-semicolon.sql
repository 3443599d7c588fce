--- expect 5: the statement that begins here has no ; at its end
-- dataset d
-- column a int
-- step s on db1
SELECT 1
  AS a
