--- expect 4: "desc" is not expected in -- group
-- dataset d
-- column a int
-- group by a desc
-- step s on db1
SELECT 1 AS a;
