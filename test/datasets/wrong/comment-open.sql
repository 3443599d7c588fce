--- expect 5: the comment /* that begins here is not ended
-- dataset d
-- column a int
-- step s on db1
/* one /* two */ ; SELECT 1;
