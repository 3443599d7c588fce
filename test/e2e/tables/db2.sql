CREATE EXTENSION citext;
CREATE TABLE e2e_visit (
    nick citext NOT NULL,
    started timestamp NOT NULL,
    ":odd" text NOT NULL
);
CREATE INDEX ON e2e_visit (nick);
CREATE TABLE e2e_product (id uuid PRIMARY KEY, name text NOT NULL);
