-- dataset echo: for tests: as many rows as the text has characters
-- param   text text required max=256
-- column  text text
-- column  n int
-- order   n

-- step rows on db1 by text
SELECT q.text, g.n FROM unnest(:text) AS q(text), generate_series(1, char_length(q.text)) AS g(n);
