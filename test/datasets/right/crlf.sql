-- dataset crlf: a title
-- param p text default=a
-- column a text null
-- order a
-- step s on db1 by p
SELECT :p AS a -- :no
  , 1;
