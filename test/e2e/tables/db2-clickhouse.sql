CREATE TABLE e2e_visit (nick String, started DateTime64(6), `:odd` String)
ENGINE = MergeTree ORDER BY lower(nick);
CREATE TABLE e2e_product (id UUID, name String) ENGINE = MergeTree ORDER BY id;
