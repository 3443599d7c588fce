   -- dataset   every-thing_2 :  what a file may say: all of it  
-- param login text required max=16384
-- param note text default='it''s, "so" = (so)'
-- param empty text default=''
-- param size int min=-5 max=5 default=-5
-- param share float default=1e-7 max=1.5
-- param price decimal min=-1.10 max=38.50 default=1.10
-- param flag bool default=true
-- param since date default=2024-02-29 min=0001-01-01
-- param at timestamp default=2025-06-29T12:30:00.5
-- param at_utc timestamptz default=2025-06-29T12:30:00+02:00
-- param id uuid default=123e4567-e89b-12d3-a456-426614174000
--
-- column day date
-- column   total	int null = sum(amount) default 0
-- column n int = count(*)
-- column known int = count( kind )
-- column kinds int=count(distinct kind)
-- column first text = min(label) default 'none, ''yet'''
-- column last decimal null = max(price) default -0.50
--- a comment, with -- step a on b in it
---
-- group   by day, kind
-- order n desc, day asc , total
-- limit 10000000

-- step one on db1 by login, since keep cache 1h for postgres
/* a comment ; :no /* nested :no ' */ " $x$ */
SELECT 'a; :no '' :no' AS "b; :no "" :no", E'c\'; :no' || e'\\' AS d, -- ; :no $1
       $$ ; :no ' $$ || $q_1$ $$ ; :no $1 $ $q_1$ AS f, x::date, :since::date, a[1:n], ne'\', u$v$ w,
       U&'\' AS g, :login = ANY (:flag), ( :login ), x=:login
  FROM t
 WHERE a>:since; -- step three on db1
-- step one on db1 by login, since keep cache 60m for clickhouse
SELECT :since, ':no\' :no', "\" :no", `\` :no`, :login;
-- step two on db2 by kind cache 500ms
	SELECT :kind, price$1 FROM t;   --- the end
-- step three on db1
;
