CREATE TABLE e2e_purchase (
    id bigint PRIMARY KEY,
    account uuid NOT NULL,
    product_id uuid NOT NULL,
    quantity integer NOT NULL,
    amount numeric NOT NULL
);
CREATE INDEX ON e2e_purchase (account);
