--- expect 5: step s is by p, but its statement does not use :p
-- dataset d
-- param p int
-- column a int
-- step s on db1 by p
SELECT ':p' AS a;
