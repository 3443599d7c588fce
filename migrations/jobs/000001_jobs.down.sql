DROP TABLE jobs, results, keys, progress;
DROP FUNCTION make_job_days(date, date);
DROP FUNCTION drop_job_days(bigint);
DROP FUNCTION has_job_day(text, text);
DROP FUNCTION job_day(bigint);
DROP TYPE job_state;
