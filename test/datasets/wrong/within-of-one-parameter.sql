--- expect 9: within a: since cannot be both ends of a period
-- dataset d
-- param id int
-- param since date
-- param until date
-- param flag bool
-- param at timestamp
-- column a date
-- step s on db1 by id within a from since to since
SELECT id, a FROM t WHERE id = ANY (:id) AND a >= :since AND a <= :since;
