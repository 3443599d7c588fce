--- expect 4: "25h" is no duration: 500ms, 5s, 1m or 1h, at most 24h
-- dataset d
-- column a int
-- step s on db1 cache 25h
SELECT 1 AS a;
