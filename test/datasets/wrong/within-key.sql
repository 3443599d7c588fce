--- expect 9: within id, which is after "by" too
-- dataset d
-- param id int
-- param since date
-- param until date
-- param flag bool
-- param at timestamp
-- column a date
-- step s on db1 by id within id from since to until
SELECT id, a FROM t WHERE id = ANY (:id) AND a >= :since AND a <= :until;
