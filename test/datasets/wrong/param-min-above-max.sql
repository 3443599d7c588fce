--- expect 3: parameter p: min is above max
-- dataset d
-- param p date max=2025-01-01 min=2025-01-02
-- column a int
-- step s on db1
SELECT 1 AS a;
