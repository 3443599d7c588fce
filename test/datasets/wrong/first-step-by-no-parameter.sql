--- expect 4: step s is by k, which is no parameter, and no step is before it
-- dataset d
-- column a int
-- step s on db1 by k
SELECT :k AS a;
