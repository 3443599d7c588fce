-- Rollups of db2: what days that are over came to, counted once; deploy/datasets-rollup reads them.
-- May be run again.
--
--   CALL close_days();
--
-- counts the days since the last one and until today (UTC): once a day, after midnight.  Later rows
-- are read from logs, so an answer is as exact when it was not called, only slower.  A row that
-- comes with a time in a day that is closed is not counted.

CREATE TABLE IF NOT EXISTS rollup_state (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    closed_until date NOT NULL,   -- the first day that is not counted
    last_id      bigint NOT NULL  -- of logs: no row up to here is still to be counted
);
INSERT INTO rollup_state (closed_until, last_id) VALUES ('0001-01-01', -9223372036854775808)
    ON CONFLICT DO NOTHING;

-- What each user did on each day.
CREATE TABLE IF NOT EXISTS logs_daily (
    user_id      bigint NOT NULL,
    date         date NOT NULL,
    logins       bigint NOT NULL,
    logouts      bigint NOT NULL,
    blog_actions bigint NOT NULL,
    PRIMARY KEY (user_id, date) INCLUDE (logins, logouts, blog_actions)
);

-- The comments of each user under each post, of all closed days.
CREATE TABLE IF NOT EXISTS comments_by_post (
    user_id   bigint NOT NULL,
    object_id bigint NOT NULL,
    n         bigint NOT NULL,
    PRIMARY KEY (user_id, object_id)
);

CREATE OR REPLACE PROCEDURE close_days(upto date DEFAULT (now() AT TIME ZONE 'UTC')::date)
LANGUAGE plpgsql AS $$
DECLARE
    state rollup_state;
    seen bigint;
BEGIN
    -- Waits for those who still write rows of a day that is over; then lets everybody go on.
    LOCK TABLE logs IN SHARE MODE;
    SELECT max(id) INTO seen FROM logs;
    COMMIT;
    SELECT * INTO state FROM rollup_state FOR UPDATE;
    IF upto <= state.closed_until THEN
        RETURN;
    END IF;
    INSERT INTO logs_daily (user_id, date, logins, logouts, blog_actions)
    SELECT l.user_id, l.datetime::date, count(*) FILTER (WHERE e.name = 'login'),
           count(*) FILTER (WHERE e.name = 'logout'), count(*) FILTER (WHERE s.name = 'blog')
      FROM logs l
      JOIN event_type e ON e.id = l.event_type_id JOIN space_type s ON s.id = l.space_type_id
     WHERE l.id > state.last_id AND l.datetime >= state.closed_until AND l.datetime < upto
     GROUP BY 1, 2;
    INSERT INTO comments_by_post AS c (user_id, object_id, n)
    SELECT l.user_id, l.object_id, count(*)
      FROM logs l JOIN event_type e ON e.id = l.event_type_id AND e.name = 'comment'
     WHERE l.id > state.last_id AND l.datetime >= state.closed_until AND l.datetime < upto
     GROUP BY 1, 2
        ON CONFLICT (user_id, object_id) DO UPDATE SET n = c.n + excluded.n;
    -- Ids need not come in order: who writes now may have a lower one than who has written.  The days
    -- say what is counted; last_id only spares reading all rows again, so it stays a million behind.
    UPDATE rollup_state
       SET closed_until = upto,
           last_id = greatest(state.last_id + 1000000,
                              (SELECT least(min(id) FILTER (WHERE datetime >= upto) - 1, seen)
                                 FROM logs WHERE id > state.last_id)) - 1000000;
END $$;
