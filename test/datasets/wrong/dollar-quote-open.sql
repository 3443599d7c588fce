--- expect 5: the dollar quote that begins here is not ended
-- dataset d
-- column a int
-- step s on db1
SELECT $a$ ; $b$ $$;
