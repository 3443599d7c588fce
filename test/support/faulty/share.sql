-- dataset share: for tests: a database refuses to divide by 0
-- param   text text required max=256
-- param   pieces int required min=0 max=60
-- column  text text
-- column  size int

-- step cut on db1 by text, pieces
SELECT q.text, q.pieces, (60 / q.pieces)::bigint AS size
  FROM unnest(:text, :pieces) AS q(text, pieces);
