--- expect 6: $1 in a statement: binds are written :name
-- dataset d
-- column a int
-- step s on db1
SELECT
 $1;
