--- expect 4: step s uses :p, which is neither after "by" nor a parameter
-- dataset d
-- column a int
-- step s on db1
SELECT :p AS a;
