--- The lexer's dataset: most of what stands here looks like a parameter and is none.
-- dataset sessions: visits by nickname, whose case does not count
-- param   nick text required max=64
-- column  nick text
-- column  day date
-- column  visits int
-- column  early int
-- column  note text
-- order   day

-- step visit on db2 by nick
SELECT q.nick, v.started::date AS day, count(*) AS visits,
       count(*) FILTER (WHERE v.started::time < '12:30'::time) AS early,
       concat('at :nick ''12:30''', E' \':nick\' ', $$ $1 :nick $$, $a$:b$a$, -- :nick
              (array['x', 'y', 'z'])[2:3]::text, /* :nick /* :nick */ */ max(v.":odd")) AS note
  FROM unnest(:nick) AS q(nick) JOIN e2e_visit v ON v.nick = q.nick::citext
 GROUP BY 1, 2;

-- step visit on db2 by nick for clickhouse
SELECT q.nick AS nick, toDate(v.started) AS day, count() AS visits,
       countIf(60 * toHour(v.started) + toMinute(v.started) < 750) AS early,
       concat('at :nick \'12:30\'', ' \':nick\' ', $x$ $1 :nick $x$, ':b{', 'y,z', '}', -- :nick
              max(v.`:odd`) /* :nick */) AS note
  FROM e2e_visit AS v JOIN (SELECT arrayJoin(:nick) AS nick) AS q ON lower(v.nick) = lower(q.nick)
 GROUP BY nick, day;
