--- expect 3: -- param: the quote of 'it''s is not ended
-- dataset d
-- param p text default='it''s
-- column a int
-- step s on db1
SELECT 1 AS a;
