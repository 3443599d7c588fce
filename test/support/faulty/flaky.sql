-- dataset flaky: for tests: the first queries of all fail in passing
-- param   text text required max=256
-- param   fails int required min=0 max=9
-- column  text text

-- step try on db1 by text, fails
SELECT q.text, q.fails FROM unnest(:text, :fails) AS q(text, fails) WHERE flaky(q.fails::int);
