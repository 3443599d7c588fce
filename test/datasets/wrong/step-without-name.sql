--- expect 4: -- step needs the name of a step
-- dataset d
-- column a int
-- step 
SELECT 1 AS a;
