--- expect 5: after the ; of a statement its line must end
-- dataset d
-- column a int
-- step s on db1
SELECT 1; SELECT 2;
