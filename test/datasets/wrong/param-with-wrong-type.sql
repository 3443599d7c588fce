--- expect 3: "integer" is no type: text, int, float, bool, date, timestamp, timestamptz, uuid or decimal
-- dataset d
-- param p integer
-- column a int
-- step s on db1
SELECT 1 AS a;
