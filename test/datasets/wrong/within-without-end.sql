--- expect 9: -- step needs the name of a parameter
-- dataset d
-- param id int
-- param since date
-- param until date
-- param flag bool
-- param at timestamp
-- column a date
-- step s on db1 by id within a from since to
SELECT id, a FROM t WHERE id = ANY (:id) AND a >= :since AND a <= :until;
