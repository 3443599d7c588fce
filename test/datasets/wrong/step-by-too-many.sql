--- expect 4: more than 16 names after "by"
-- dataset d
-- column a int
-- step s on db1 by k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, k12, k13, k14, k15, k16
SELECT 1 AS a;
