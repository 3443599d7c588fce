--- expect 3: "jsonb" is no type: text, int, float, bool, date, timestamp, timestamptz, uuid or decimal
-- dataset d
-- column a jsonb
-- step s on db1
SELECT 1 AS a;
