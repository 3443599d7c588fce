--- expect 6: the quote ' that begins here is not ended
-- dataset d
-- column a int
-- step s on db1
SELECT
'it''s;
