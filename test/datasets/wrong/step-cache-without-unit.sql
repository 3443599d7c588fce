--- expect 4: "5" is no duration: 500ms, 5s, 1m or 1h, at most 24h
-- dataset d
-- column a int
-- step s on db1 cache 5
SELECT 1 AS a;
