--- expect 4: a statement stands before any -- step
-- dataset d
-- column a int
SELECT 1;
