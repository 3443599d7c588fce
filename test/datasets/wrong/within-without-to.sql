--- expect 9: -- step needs a "to" here: until
-- dataset d
-- param id int
-- param since date
-- param until date
-- param flag bool
-- param at timestamp
-- column a date
-- step s on db1 by id within a from since until
SELECT id, a FROM t WHERE id = ANY (:id) AND a >= :since AND a <= :until;
