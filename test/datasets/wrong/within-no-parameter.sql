--- expect 9: within a: then is no parameter
-- dataset d
-- param id int
-- param since date
-- param until date
-- param flag bool
-- param at timestamp
-- column a date
-- step s on db1 by id within a from then to until
SELECT id, a FROM t WHERE id = ANY (:id) AND a >= :since AND a <= :until;
