-- jobs, the job store: what is known of every job of the last two days.  It is a projection of the
-- Kafka topics of the job lane and can be rebuilt from them (tally jobs rebuild); only keys that
-- were claimed and never published stand nowhere else.  Times are Unix milliseconds, as in Kafka.

-- The last three are final (state >= 'succeeded'): a row never leaves them.
CREATE TYPE job_state AS ENUM ('queued', 'running', 'succeeded', 'failed', 'cancelled');

-- The day of a job, in UTC: its partition.
CREATE FUNCTION job_day(created_ms bigint) RETURNS date
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN DATE '1970-01-01' + (created_ms / 86400000)::int;

-- A row has a request half and a result half, and either may come first: both are upserts on
-- (id, day).  Both halves know created_ms, so both find the same partition: it is in the ids of our
-- own, and for those of foreign producers it is the broker's stamp of the request, which the result
-- carries along.  The primary key of a partitioned table must hold the partition's column; should a
-- foreign producer send the same request on two days, the row of the earlier day is the job.
--
-- By day, because a day's rows are all dropped at the same moment, at no cost; not by created_ms
-- itself, because a foreign request that comes twice must find its row.
--
-- JSON is text here: it has been checked, json would check it again, and jsonb would change it.
-- Ids, tenants and keys are compared by bytes (COLLATE "C"), as the gateway compares them.
CREATE TABLE jobs (
    id              text COLLATE "C" NOT NULL,
    day             date NOT NULL,
    tenant          text COLLATE "C" NOT NULL,
    created_ms      bigint NOT NULL,
    state           job_state NOT NULL DEFAULT 'queued',
    deadline_ms     bigint,                 -- null: not known
    partition       integer,                -- of tally.results, for the result; both halves know it
    -- request half
    has_request     boolean NOT NULL DEFAULT false,
    dataset         text,                   -- also of the result, which may come first
    params          text,
    format          text,                   -- null: none was asked for
    labels          text,
    -- started, or result half
    attempt         integer NOT NULL DEFAULT 0,
    started_ms      bigint,
    -- result half
    finished_ms     bigint,                 -- the broker's stamp of the result
    run             bigint NOT NULL DEFAULT 0,  -- 64 random bits; finds the body in results
    n_rows          bigint NOT NULL DEFAULT 0,
    n_bytes         bigint NOT NULL DEFAULT 0,
    n_parts         integer NOT NULL DEFAULT 0, -- messages that the body came in
    sha256          bytea,                  -- of the whole body
    result_offset   bigint,                 -- of the result; of its last part
    as_of           text,
    error           text,                   -- an error document
    PRIMARY KEY (id, day),
    -- A row in the wrong partition would never be found by its other half.
    CONSTRAINT jobs_day CHECK (day = DATE '1970-01-01' + (created_ms / 86400000)::int)
) PARTITION BY RANGE (day);

-- A tenant's jobs, newest first; the id makes the order total, for cursors.
CREATE INDEX jobs_list_idx ON jobs (tenant, created_ms DESC, id DESC);
-- The same of one state, when it is not the one that nearly all jobs are in.
CREATE INDEX jobs_state_idx ON jobs (tenant, state, created_ms DESC, id DESC)
    WHERE state <> 'succeeded';
-- Jobs that may have to be ended because of their deadline.
CREATE INDEX jobs_open_idx ON jobs (deadline_ms) WHERE state IN ('queued', 'running');

-- Bodies of results, a row for each message that they came in (part 1 of 1, or 1 .. n_parts), as it
-- came.  Of several runs of a job the one named in its row counts.  lz4: JSON shrinks to a quarter
-- or less, and it costs far less time than the default, pglz.
CREATE TABLE results (
    id   text COLLATE "C" NOT NULL,
    day  date NOT NULL,             -- of the job
    run  bigint NOT NULL,
    part integer NOT NULL,          -- 1 ..
    body bytea COMPRESSION lz4 NOT NULL,
    PRIMARY KEY (id, day, run, part)
) PARTITION BY RANGE (day);

-- Idempotency keys: who came first with a key, and all that is needed to publish that request again,
-- byte for byte.  Not partitioned: UNIQUE (tenant, key) would have to hold the day.
CREATE TABLE keys (
    tenant      text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    body_hash   bytea NOT NULL,
    id          text COLLATE "C" NOT NULL,  -- of the job
    created_ms  bigint NOT NULL,            -- of the job
    deadline_ms bigint NOT NULL,
    fingerprint text NOT NULL,              -- the message's key
    trace       text NOT NULL,
    no_cache    boolean NOT NULL,
    request     bytea COMPRESSION lz4 NOT NULL,  -- the message's value
    confirmed   boolean NOT NULL DEFAULT false,  -- the broker has acknowledged it
    PRIMARY KEY (tenant, key)
);

-- Keys are deleted when the results are.
CREATE INDEX keys_created_idx ON keys (created_ms);

-- How far the topics have been recorded, written together with the rows.  Whoever records a topic
-- first makes a row for each of its partitions at once, with stamp_ms 0: the least stamp_ms of a
-- topic is its low watermark, and it must not pass over a partition that nobody has looked at yet.
CREATE TABLE progress (
    topic       text COLLATE "C" NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    stamp_ms    bigint NOT NULL,   -- all messages up to this time of the broker are recorded
    PRIMARY KEY (topic, partition)
);

-- Whether a partition is there.  Not to_regclass(): that would remember, in this transaction, what
-- somebody else has changed since.
CREATE FUNCTION has_job_day(parent text, child text) RETURNS boolean LANGUAGE sql VOLATILE
    RETURN EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
                    WHERE i.inhparent = parent::regclass AND c.relname = child);

-- Makes the partitions of days that lack them; any number of callers at once.  A partition is made
-- as a table of its own and then attached: that does not stop readers and writers of the others,
-- CREATE TABLE ... PARTITION OF would.
CREATE FUNCTION make_job_days(first date, last date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child text;
    one date;
BEGIN
    FOR one IN SELECT generate_series(first, last, interval '1 day')::date LOOP
        FOREACH parent IN ARRAY ARRAY['jobs', 'results'] LOOP
            child := parent || to_char(one, '_YYYYMMDD');
            CONTINUE WHEN has_job_day(parent, child);
            PERFORM pg_advisory_xact_lock(hashtext('tally job days'));
            CONTINUE WHEN has_job_day(parent, child);
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           parent, child, one, one + 1);
        END LOOP;
    END LOOP;
END
$$;

-- Drops the partitions of days whose last job is past its retention by an hour, and returns how
-- many tables that were.  The drop needs all to itself for a moment.  Whoever asks while it waits
-- for that, waits too: not for long, then it fails (55P03) and is to be tried again later.
CREATE FUNCTION drop_job_days(now_ms bigint) RETURNS integer LANGUAGE plpgsql
    SET lock_timeout = '500ms' AS $$
DECLARE
    child text;
    n integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('tally job days'));
    FOR child IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent IN ('jobs'::regclass, 'results'::regclass)
           AND c.relname ~ '^(jobs|results)_[0-9]{8}$'
           AND to_date(right(c.relname, 8), 'YYYYMMDD') + 2 <= job_day(now_ms - 3600000)
    LOOP
        EXECUTE format('DROP TABLE %I', child);
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$;

-- Enough for the first recorder to come; it keeps house from then on.
SELECT make_job_days(job_day((extract(epoch FROM now()) * 1000)::bigint) - 1,
                     job_day((extract(epoch FROM now()) * 1000)::bigint) + 2);
