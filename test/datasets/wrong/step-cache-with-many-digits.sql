--- expect 4: "100000000ms" is no duration: 500ms, 5s, 1m or 1h, at most 24h
-- dataset d
-- column a int
-- step s on db1 cache 100000000ms
SELECT 1 AS a;
