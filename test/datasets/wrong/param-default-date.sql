--- expect 3: "2025-02-29" must be a date such as 2025-06-29
-- dataset d
-- param p date default=2025-02-29
-- column a int
-- step s on db1
SELECT 1 AS a;
