-- dataset slow: for tests: its rows take a while
-- param   text text required max=256
-- param   ms int required min=0 max=60000
-- column  text text
-- order   text

-- step rows on db1 by text, ms
SELECT q.text, q.ms FROM unnest(:text, :ms) AS q(text, ms)
 WHERE (SELECT pg_sleep(q.ms / 1000.0)) IS NOT NULL;
