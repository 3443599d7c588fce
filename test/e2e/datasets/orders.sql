-- dataset orders: what an account bought, by product
-- param   account uuid required
-- column  account uuid
-- column  product text null
-- column  orders int = count(order_id)
-- column  pieces int = sum(quantity)
-- column  total decimal = sum(amount)
-- group by account, product_id, product
-- order   product

-- step bought on db1 by account
SELECT account, id AS order_id, product_id, quantity, amount
  FROM e2e_purchase WHERE account = ANY (:account);

-- step product on db2 by product_id keep
SELECT id AS product_id, name AS product FROM e2e_product WHERE id = ANY (:product_id);

-- step product on db2 by product_id keep for clickhouse
SELECT id AS product_id, name AS product FROM e2e_product WHERE id IN :product_id;
