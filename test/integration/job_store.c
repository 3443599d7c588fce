/* The job store over a private PostgreSQL, its rows written by plain SQL. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/clock.h"
#include "jobs/store.h"
#include "support/service.h"

#define TIMEOUT_MS 1500
#define LATE_MS    4000 /* of a very busy machine; what hangs takes longer */

static struct cluster *shared; /* in the runner's process */
static struct cluster *own;    /* of a test that harms it */
static struct job_store *store;

ReportHook(PRE_ALL)(struct criterion_test_set *tests)
{
	(void)tests;
	shared = service_databases();
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	(void)stats;
	cluster_stop(shared);
}

/* ---- helpers ----------------------------------------------------------------- */

static char own_url[160]; /* of the test's own database: tests run side by side */

static const char *
url(void)
{
	return own_url[0] ? own_url : getenv("TEST_POSTGRES_URL_JOBS");
}

static void
execute_at(const char *at, const char *sql)
{
	PGconn *pg = PQconnectdb(at);
	PGresult *result = PQexec(pg, sql);

	cr_assert(PQresultStatus(result) == PGRES_COMMAND_OK
		      || PQresultStatus(result) == PGRES_TUPLES_OK,
		  "%s: %s", sql, PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
}

static void
execute(const char *sql)
{
	execute_at(url(), sql);
}

static struct job_store *
start_at(const char *at, size_t queue_max, int timeout_ms)
{
	const struct job_store_options options = {
		.url = at, .connections = 3, .queue_max = queue_max, .timeout_ms = timeout_ms
	};
	struct tally_error err = { 0 };
	struct job_store *started = NULL;

	cr_assert_eq(job_store_start(&options, &started, &err), TALLY_OK, "%s", err.detail);
	return started;
}

static void
begin(void)
{
	char sql[96], server[160];
	int len = (int)(strlen(url()) - strlen("jobs"));

	(void)snprintf(server, sizeof server, "%.*spostgres", len, url());
	(void)snprintf(sql, sizeof sql, "CREATE DATABASE jobs_%d TEMPLATE jobs", (int)getpid());
	execute_at(server, sql);
	(void)snprintf(own_url, sizeof own_url, "%s_%d", url(), (int)getpid());
	store = start_at(url(), 10000, TIMEOUT_MS);
}

static void
begin_own(void)
{
	own = service_databases();
	store = start_at(url(), 10000, TIMEOUT_MS);
}

static void
end(void)
{
	job_store_stop(store);
	if (own)
		cluster_signal(own, SIGCONT);
	cluster_stop(own);
}

#define STORE(name)  Test(job_store, name, .timeout = 60, .init = begin, .fini = end)
#define HARMED(name) Test(job_store, name, .timeout = 90, .init = begin_own, .fini = end)

static struct tally_job_id
id_of(int number)
{
	struct tally_job_id id;

	(void)snprintf(id.text, sizeof id.text, "%039d", number);
	return id;
}

/* A job of tenant a, created now; of its request only that there was one. */
static void
insert_job(int number, const char *state)
{
	char sql[512];
	int64_t now_ms = clock_unix_ms();

	(void)snprintf(sql, sizeof sql,
		       "INSERT INTO jobs (id, day, tenant, created_ms, has_request, state) VALUES"
		       " ('%s', job_day(%lld), 'a', %lld, true, '%s')",
		       id_of(number).text, (long long)now_ms, (long long)now_ms, state);
	execute(sql);
}

static void
set_state(int number, const char *state)
{
	char sql[256];

	(void)snprintf(sql, sizeof sql, "UPDATE jobs SET state = '%s' WHERE id = '%s'", state,
		       id_of(number).text);
	execute(sql);
}

/* What a callback said. */
struct said {
	atomic_int n;
	tally_status status;
	struct job job; /* its texts are gone */
	int64_t watermark_ms;
	int64_t at_ms;
	char dataset[65];
	char params[65];
	char error[65];
	char *body;
	size_t len;
	bool is_new;
	struct job_claim claim;
	struct job jobs[JOB_LIST_MAX];
	size_t n_jobs;
	atomic_int *n_done; /* of all who share it; or NULL */
};

static void
keep(char *out, size_t cap, const char *text)
{
	(void)snprintf(out, cap, "%s", text ? text : "(null)");
}

static void
say(struct said *said, tally_status status)
{
	said->status = status;
	said->at_ms = clock_mono_ms();
	if (said->n_done)
		atomic_fetch_add(said->n_done, 1);
	atomic_fetch_add(&said->n, 1);
}

static void
on_found(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct said *said = ctx;

	if (job) {
		said->job = *job;
		keep(said->dataset, sizeof said->dataset, job->dataset);
		keep(said->params, sizeof said->params, job->params);
		keep(said->error, sizeof said->error, job->error);
	}
	said->watermark_ms = watermark_ms;
	say(said, status);
}

static void
on_body(void *ctx, tally_status status, char *body, size_t len)
{
	struct said *said = ctx;

	said->body = body;
	said->len = len;
	say(said, status);
}

static void
on_listed(void *ctx, tally_status status, const struct job *jobs, size_t n)
{
	struct said *said = ctx;

	if (n > 0)
		memcpy(said->jobs, jobs, n * sizeof *jobs);
	said->n_jobs = n;
	say(said, status);
}

static void
on_claimed(void *ctx, tally_status status, bool is_new, const struct job_claim *claim)
{
	struct said *said = ctx;

	said->is_new = is_new;
	if (claim)
		said->claim = *claim;
	if (claim)
		keep(said->params, sizeof said->params, claim->request);
	say(said, status);
}

static void
on_done(void *ctx, tally_status status)
{
	say(ctx, status);
}

static void
get_of(struct said *said, const char *tenant, int number)
{
	struct tally_job_id id = id_of(number);

	memset(said, 0, sizeof *said);
	cr_assert_eq(job_store_get(store, tenant, &id, on_found, said), TALLY_OK);
	SERVICE_AWAIT(atomic_load(&said->n));
}

static void
watch(struct job_watch *watch, struct said *said, int number, enum job_state seen, int ms)
{
	memset(said, 0, sizeof *said);
	*watch = (struct job_watch){ .id = id_of(number),
				     .tenant = "a",
				     .seen = seen,
				     .deadline_ms = clock_mono_ms() + ms,
				     .found = on_found,
				     .ctx = said };
	cr_assert_eq(job_store_watch(store, watch), TALLY_OK);
}

/* ---- one job ----------------------------------------------------------------- */

STORE(tells_all_that_a_row_holds)
{
	static struct said said;
	int64_t now_ms = clock_unix_ms();
	char sql[1024];

	(void)snprintf(
	    sql, sizeof sql,
	    "INSERT INTO jobs VALUES ('%s', job_day(%lld), 'a', %lld, 'failed', 9, 11, true,"
	    " 'comments', '{\"login\":\"x\"}', 'csv', '{\"a\":\"b\"}', 2, 3, 4, -2, 5, 6, 7,"
	    " '\\x%064x', 8, '{\"db1\":1}', '{\"code\":\"poisoned\"}')",
	    id_of(1).text, (long long)now_ms, (long long)now_ms, 0xabc);
	execute(sql);
	get_of(&said, "a", 1);
	cr_assert_eq(said.status, TALLY_OK);
	cr_expect_str_eq(said.job.id.text, id_of(1).text);
	cr_expect_str_eq(said.job.tenant, "a");
	cr_expect_eq(said.job.created_ms, now_ms);
	cr_expect_eq(said.job.state, JOB_FAILED);
	cr_expect_eq(said.job.deadline_ms, 9);
	cr_expect_eq(said.job.partition, 11);
	cr_expect(said.job.has_request);
	cr_expect_str_eq(said.dataset, "comments");
	cr_expect_str_eq(said.params, "{\"login\":\"x\"}");
	cr_expect_eq(said.job.attempt, 2);
	cr_expect_eq(said.job.started_ms, 3);
	cr_expect_eq(said.job.finished_ms, 4);
	cr_expect_eq(said.job.run, UINT64_MAX - 1);
	cr_expect_eq(said.job.n_rows, 5);
	cr_expect_eq(said.job.n_bytes, 6);
	cr_expect_eq(said.job.n_parts, 7);
	cr_expect(said.job.has_sha256);
	cr_expect(said.job.sha256[31] == 0xbc && said.job.sha256[30] == 0x0a);
	cr_expect_eq(said.job.offset, 8);
	cr_expect_str_eq(said.error, "{\"code\":\"poisoned\"}");
	cr_expect(job_store_is_up(store));
}

STORE(leaves_what_is_not_known_empty)
{
	static struct said said;

	insert_job(1, "queued");
	get_of(&said, "a", 1);
	cr_assert_eq(said.status, TALLY_OK);
	cr_expect_eq(said.job.state, JOB_QUEUED);
	cr_expect_not(said.job.has_sha256);
	cr_expect(!said.job.dataset && !said.job.params && !said.job.error && !said.job.as_of);
	cr_expect_eq(said.job.partition, -1);
}

STORE(does_not_find_another_tenants_job)
{
	static struct said said;

	insert_job(1, "queued");
	get_of(&said, "b", 1);
	cr_expect_eq(said.status, TALLY_NOT_FOUND);
	get_of(&said, "a", 2);
	cr_expect_eq(said.status, TALLY_NOT_FOUND);
	cr_expect_eq(said.watermark_ms, 0);
}

STORE(tells_the_least_stamp_of_the_requests_as_watermark)
{
	static struct said said;

	execute("INSERT INTO progress VALUES ('tally.requests.jobs', 0, 5, 2000),"
		" ('tally.requests.jobs', 1, 5, 1000), ('tally.results', 0, 5, 10)");
	get_of(&said, "a", 1);
	cr_expect_eq(said.status, TALLY_NOT_FOUND);
	cr_expect_eq(said.watermark_ms, 1000);
}

STORE(takes_the_earlier_day_of_a_job_that_came_twice)
{
	static struct said said;

	execute("INSERT INTO jobs (id, day, tenant, created_ms, has_request, state)"
		" SELECT lpad('7', 39, '0'), job_day(ms), 'a', ms, true, s::job_state"
		"   FROM (VALUES (0, 'failed'), (86400000, 'queued')) AS v(ago, s),"
		"   LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint - ago) AS t(ms)");
	get_of(&said, "a", 7);
	cr_expect_eq(said.status, TALLY_OK);
	cr_expect_eq(said.job.state, JOB_QUEUED);
}

STORE(answers_each_of_many_questions_with_its_own_job)
{
	static struct said said[2000];
	static atomic_int n_done;

	execute("INSERT INTO jobs (id, day, tenant, created_ms, has_request, n_rows)"
		" SELECT lpad(n::text, 39, '0'), job_day(ms), 'a', ms, true, n"
		"   FROM generate_series(0, 1999, 2) AS n,"
		"   LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint) AS t(ms)");
	for (int i = 0; i < 2000; i++) {
		struct tally_job_id id = id_of(i);

		said[i].n_done = &n_done;
		cr_assert_eq(job_store_get(store, "a", &id, on_found, &said[i]), TALLY_OK);
	}
	SERVICE_AWAIT(atomic_load(&n_done) == 2000);
	for (int i = 0; i < 2000; i++) {
		cr_assert_eq(said[i].status, i % 2 ? TALLY_NOT_FOUND : TALLY_OK);
		cr_assert(i % 2 || said[i].job.n_rows == (uint64_t)i);
	}
}

/* ---- watches ----------------------------------------------------------------- */

STORE(wakes_a_watch_at_each_change_of_state)
{
	static const char *const states[] = { "queued", "running", "succeeded" };
	static struct said said;
	struct job_watch one;

	insert_job(1, "queued");
	for (int i = 1; i < 3; i++) {
		watch(&one, &said, 1, (enum job_state)(i - 1), 20000);
		cr_expect_eq(atomic_load(&said.n), 0);
		set_state(1, states[i]);
		SERVICE_AWAIT(atomic_load(&said.n));
		cr_assert_eq(said.status, TALLY_OK);
		cr_expect_eq(said.job.state, (enum job_state)i);
		cr_expect_not(job_store_unwatch(store, &one));
	}
}

STORE(wakes_a_watch_when_the_row_appears_in_another_state)
{
	static struct said said;
	struct job_watch one;

	watch(&one, &said, 1, JOB_QUEUED, 20000);
	insert_job(1, "failed");
	SERVICE_AWAIT(atomic_load(&said.n));
	cr_expect_eq(said.job.state, JOB_FAILED);
}

STORE(answers_a_watch_of_a_final_job_at_once)
{
	static struct said said;
	struct job_watch one;

	insert_job(1, "succeeded");
	watch(&one, &said, 1, JOB_SUCCEEDED, 20000);
	SERVICE_AWAIT(atomic_load(&said.n));
	cr_expect_eq(said.job.state, JOB_SUCCEEDED);
}

STORE(ends_a_watch_at_its_deadline_with_what_the_job_is_then)
{
	static struct said there, absent, foreign;
	struct job_watch watches[3];
	int64_t due_ms = clock_mono_ms() + 400;

	insert_job(1, "queued");
	insert_job(3, "succeeded");
	execute("UPDATE jobs SET tenant = 'b' WHERE state = 'succeeded'");
	due_ms = clock_mono_ms() + 400;
	watch(&watches[0], &there, 1, JOB_QUEUED, 400);
	watch(&watches[1], &absent, 2, JOB_QUEUED, 400);
	watch(&watches[2], &foreign, 3, JOB_QUEUED, 400);
	SERVICE_AWAIT(atomic_load(&there.n) && atomic_load(&absent.n) && atomic_load(&foreign.n));
	cr_expect_eq(there.status, TALLY_OK);
	cr_expect_eq(there.job.state, JOB_QUEUED);
	cr_expect_eq(absent.status, TALLY_NOT_FOUND);
	cr_expect_eq(foreign.status, TALLY_NOT_FOUND);
	cr_expect(there.at_ms >= due_ms && there.at_ms < due_ms + LATE_MS);
}

STORE(does_not_call_a_watch_that_was_taken_back)
{
	static struct said taken, kept;
	struct job_watch watches[2];

	insert_job(1, "queued");
	watch(&watches[0], &taken, 1, JOB_QUEUED, 20000);
	watch(&watches[1], &kept, 1, JOB_QUEUED, 20000);
	cr_expect(job_store_unwatch(store, &watches[0]));
	cr_expect_not(job_store_unwatch(store, &watches[0]));
	memset(&watches[0], 0xff, sizeof watches[0]);
	set_state(1, "running");
	SERVICE_AWAIT(atomic_load(&kept.n));
	cr_expect_eq(atomic_load(&taken.n), 0);
}

STORE(wakes_each_of_many_watches)
{
	static struct said said[3000];
	static struct job_watch watches[3000];

	execute("INSERT INTO jobs (id, day, tenant, created_ms, has_request)"
		" SELECT lpad(n::text, 39, '0'), job_day(ms), 'a', ms, true"
		"   FROM generate_series(0, 2999) AS n,"
		"   LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint) AS t(ms)");
	for (int i = 0; i < 3000; i++)
		watch(&watches[i], &said[i], i, JOB_QUEUED, 20000);
	execute("UPDATE jobs SET state = 'succeeded' WHERE right(id, 1) <> '7'");
	for (int i = 0; i < 3000; i++) {
		SERVICE_AWAIT(i % 10 == 7 || atomic_load(&said[i].n));
		cr_assert(i % 10 == 7 || strcmp(said[i].job.id.text, id_of(i).text) == 0);
	}
	for (int i = 7; i < 3000; i += 10)
		cr_assert(job_store_unwatch(store, &watches[i]));
}

/* ---- bodies ------------------------------------------------------------------ */

#define PART 700000

/* A job of three parts, whose body is made of the letters a, b, c. */
static struct job
insert_parts(int n_parts, size_t *out_len)
{
	struct job job = { .id = id_of(1),
			   .created_ms = clock_unix_ms(),
			   .state = JOB_SUCCEEDED,
			   .run = UINT64_MAX - 4,
			   .n_parts = (uint32_t)n_parts,
			   .n_bytes = (uint64_t)n_parts * PART,
			   .has_sha256 = true };
	char sql[512];
	char *body = malloc((size_t)n_parts * PART);

	for (int i = 0; i < n_parts; i++) {
		memset(body + (size_t)i * PART, 'a' + i, PART);
		(void)snprintf(sql, sizeof sql,
			       "INSERT INTO results VALUES"
			       " ('%s', job_day(%lld), -5, %d, repeat('%c', %d)::bytea),"
			       " ('%s', job_day(%lld), 77, %d, 'of another run')",
			       job.id.text, (long long)job.created_ms, i + 1, 'a' + i, PART,
			       job.id.text, (long long)job.created_ms, i + 1);
		execute(sql);
	}
	*out_len = (size_t)n_parts * PART;
	cr_assert_eq(tally_sha256(body, *out_len, job.sha256), TALLY_OK);
	free(body);
	return job;
}

static void
read_body(const struct job *job, struct said *said)
{
	memset(said, 0, sizeof *said);
	cr_assert_eq(job_store_read_body(store, job, on_body, said), TALLY_OK);
	SERVICE_AWAIT(atomic_load(&said->n));
}

STORE(reads_a_body_of_one_run_part_by_part)
{
	static struct said said;
	size_t len;
	struct job job = insert_parts(3, &len);

	read_body(&job, &said);
	cr_assert_eq(said.status, TALLY_OK);
	cr_assert_eq(said.len, len);
	for (size_t i = 0; i < len; i++)
		cr_assert_eq(said.body[i], (char)('a' + i / PART));
	free(said.body);
}

STORE(gives_no_body_that_is_not_the_one_of_the_row)
{
	static struct said said;
	size_t len;
	const struct job right = insert_parts(2, &len);
	struct job wrong[5];

	for (int i = 0; i < 5; i++)
		wrong[i] = right;
	wrong[0].sha256[3] ^= 1;
	wrong[1].n_bytes--;
	wrong[2].n_bytes++;
	wrong[3].n_parts = 3;
	wrong[4].n_parts = 1;
	for (int i = 0; i < 5; i++) {
		read_body(&wrong[i], &said);
		cr_expect_eq(said.status, TALLY_INTERNAL_ERROR, "case %d", i);
		cr_expect_null(said.body);
	}
	read_body(&right, &said);
	cr_expect_eq(said.status, TALLY_OK);
	free(said.body);
}

STORE(says_that_a_body_is_gone)
{
	static struct said said;
	size_t len;
	struct job job = insert_parts(1, &len);

	execute("TRUNCATE results");
	read_body(&job, &said);
	cr_expect_eq(said.status, TALLY_EXPIRED);
	job.created_ms -= INT64_C(10) * 86400000; /* a day without a partition */
	read_body(&job, &said);
	cr_expect_eq(said.status, TALLY_EXPIRED);
}

/* ---- lists ------------------------------------------------------------------- */

static void
list(const struct job_list_query *query, struct said *said)
{
	memset(said, 0, sizeof *said);
	cr_assert_eq(job_store_list(store, query, on_listed, said), TALLY_OK);
	SERVICE_AWAIT(atomic_load(&said->n));
	cr_assert_eq(said->status, TALLY_OK);
}

/* 450 jobs of tenant a: 400 of them created at the same moment; each fourth one failed, each third
 * one of dataset x; others of tenant b between them, and one past the retention. */
static void
insert_list(void)
{
	execute("INSERT INTO jobs (id, day, tenant, created_ms, has_request, state, dataset)"
		" SELECT lpad(n::text, 39, '0'), job_day(ms), t, ms, true,"
		"        (CASE WHEN n % 4 = 0 THEN 'failed' ELSE 'succeeded' END)::job_state,"
		"        CASE WHEN n % 3 = 0 THEN 'x' ELSE 'y' END"
		"   FROM generate_series(1, 450) AS n,"
		"   LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint"
		"                   - greatest(n - 400, 0) * 1000) AS m(ms),"
		"   LATERAL (SELECT 'a' UNION ALL SELECT 'b' WHERE false) AS u(t);"
		"INSERT INTO jobs (id, day, tenant, created_ms, has_request)"
		" SELECT lpad((1000 + n)::text, 39, '0'), job_day(ms), 'b', ms, true"
		"   FROM generate_series(1, 50) AS n,"
		"   LATERAL (SELECT (extract(epoch FROM now()) * 1000)::bigint) AS m(ms);"
		"INSERT INTO jobs (id, day, tenant, created_ms, has_request)"
		" SELECT lpad('2000', 39, '0'), job_day(ms), 'a', ms, true"
		"   FROM (SELECT (extract(epoch FROM now()) * 1000)::bigint - 86400001) AS m(ms);");
}

static size_t
walk(struct job_list_query query, struct said *said)
{
	static struct job last;
	size_t n = 0;

	for (;;) {
		list(&query, said);
		for (size_t i = 0; i < said->n_jobs; i++, n++) {
			const struct job *job = &said->jobs[i];

			cr_assert_str_eq(job->tenant, "a");
			cr_assert(n == 0 || job->created_ms < last.created_ms
				  || (job->created_ms == last.created_ms
				      && strcmp(job->id.text, last.id.text) < 0));
			last = *job;
		}
		if (said->n_jobs < query.limit)
			return n;
		query.before_created_ms = last.created_ms;
		query.before_id = last.id;
	}
}

STORE(lists_a_tenants_jobs_page_by_page_each_once)
{
	static const size_t limits[] = { 1, 7, 200 };
	static struct said said;

	/* A day has to be there for the one past the retention. */
	execute("SELECT make_job_days(current_date - 2, current_date)");
	insert_list();
	for (size_t i = 0; i < 3; i++) {
		struct job_list_query query = { .tenant = "a", .limit = limits[i] };

		cr_expect_eq(walk(query, &said), 450);
		query.has_state = true;
		query.state = JOB_FAILED;
		cr_expect_eq(walk(query, &said), 112);
		memcpy(query.dataset, "x", 2);
		cr_expect_eq(walk(query, &said), 37);
		query.has_state = false;
		cr_expect_eq(walk(query, &said), 150);
	}
}

STORE(does_not_tell_a_result_whose_request_is_still_to_be_recorded)
{
	static struct said said, listed;
	const struct job_list_query query = { .tenant = "a", .limit = 10 };
	struct job_watch one;

	insert_job(1, "succeeded");
	execute("UPDATE jobs SET has_request = false, finished_ms = 2000;"
		"INSERT INTO progress VALUES ('tally.requests.jobs', 0, 5, 2000)");
	get_of(&said, "a", 1);
	cr_expect_eq(said.status, TALLY_NOT_FOUND);
	list(&query, &listed);
	cr_expect_eq(listed.n_jobs, 0);
	watch(&one, &said, 1, JOB_QUEUED, 20000);
	execute("UPDATE jobs SET has_request = true");
	SERVICE_AWAIT(atomic_load(&said.n));
	cr_expect_eq(said.job.state, JOB_SUCCEEDED);
	list(&query, &listed);
	cr_expect_eq(listed.n_jobs, 1);
}

STORE(tells_a_result_whose_request_can_no_longer_come)
{
	static struct said said, listed;
	const struct job_list_query query = { .tenant = "a", .limit = 10 };

	insert_job(1, "failed");
	execute("UPDATE jobs SET has_request = false, finished_ms = 2000;"
		"INSERT INTO progress VALUES ('tally.requests.jobs', 0, 5, 2001)");
	get_of(&said, "a", 1);
	cr_assert_eq(said.status, TALLY_OK);
	cr_expect_eq(said.job.state, JOB_FAILED);
	list(&query, &listed);
	cr_expect_eq(listed.n_jobs, 1);
}

/* ---- keys -------------------------------------------------------------------- */

static struct job_claim
claim_of(const char *key, int number)
{
	struct job_claim claim = {
		.tenant = "a",
		.body_hash = { 1, 2, (unsigned char)number },
		.id = id_of(number),
		.created_ms = clock_unix_ms(),
		.deadline_ms = 77,
		.fingerprint = "0123456789abcdef0123456789abcdef",
		.trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		.no_cache = true,
		.request = "{\"dataset\":\"x\"}",
		.request_len = 16
	};

	(void)snprintf(claim.key, sizeof claim.key, "%s", key);
	return claim;
}

static void
claim_one(struct said *said, const struct job_claim *claim)
{
	memset(said, 0, sizeof *said);
	cr_assert_eq(job_store_claim(store, claim, on_claimed, said), TALLY_OK);
	SERVICE_AWAIT(atomic_load(&said->n));
	cr_assert_eq(said->status, TALLY_OK);
}

STORE(gives_a_key_to_the_first_and_tells_the_others_of_it)
{
	static struct said said;
	struct job_claim first = claim_of("it's {a}, \"k\\ey\"", 1);
	struct job_claim second = claim_of(first.key, 2);

	claim_one(&said, &first);
	cr_expect(said.is_new);
	claim_one(&said, &second);
	cr_expect_not(said.is_new);
	cr_expect_str_eq(said.claim.id.text, first.id.text);
	cr_expect_str_eq(said.claim.key, first.key);
	cr_expect_arr_eq(said.claim.body_hash, first.body_hash, sizeof first.body_hash);
	cr_expect_eq(said.claim.created_ms, first.created_ms);
	cr_expect_eq(said.claim.deadline_ms, 77);
	cr_expect_str_eq(said.claim.fingerprint, first.fingerprint);
	cr_expect_str_eq(said.claim.trace, first.trace);
	cr_expect(said.claim.no_cache && !said.claim.is_confirmed);
	cr_expect_eq(said.claim.request_len, 16);
	cr_expect_str_eq(said.params, "{\"dataset\":\"x\"}");
	memcpy(second.tenant, "b", 2);
	claim_one(&said, &second);
	cr_expect(said.is_new);
}

STORE(confirms_a_claim)
{
	static struct said said;
	struct job_claim claim = claim_of("k", 1);

	claim_one(&said, &claim);
	for (int i = 0; i < 2; i++) {
		memset(&said, 0, sizeof said);
		cr_assert_eq(job_store_confirm(store, "a", i ? "none" : "k", on_done, &said),
			     TALLY_OK);
		SERVICE_AWAIT(atomic_load(&said.n));
		cr_expect_eq(said.status, TALLY_OK);
	}
	cr_assert_eq(job_store_confirm(store, "a", "k", NULL, NULL), TALLY_OK);
	claim = claim_of("k", 2);
	claim_one(&said, &claim);
	cr_expect(!said.is_new && said.claim.is_confirmed);
}

HARMED(keeps_a_claim_when_its_server_dies_whatever_is_the_servers_default)
{
	static struct said said;
	struct job_claim claim = claim_of("k", 1);

	execute("ALTER DATABASE jobs SET synchronous_commit = off");
	job_store_stop(store);
	store = start_at(url(), 10000, TIMEOUT_MS);
	claim_one(&said, &claim);
	cluster_kill(own);
	cluster_restart(own);
	job_store_stop(store);
	store = start_at(url(), 10000, TIMEOUT_MS);
	claim = claim_of("k", 2);
	claim_one(&said, &claim);
	cr_expect_not(said.is_new);
}

STORE(gives_a_key_past_the_retention_away_again)
{
	static struct said said;
	struct job_claim claim = claim_of("k", 1);

	claim.created_ms -= JOB_RETENTION_MS;
	claim_one(&said, &claim);
	execute("UPDATE keys SET confirmed = true");
	claim = claim_of("k", 2);
	claim_one(&said, &claim);
	cr_expect(said.is_new);
	claim = claim_of("k", 3);
	claim_one(&said, &claim);
	cr_expect_not(said.is_new || said.claim.is_confirmed);
	cr_expect_str_eq(said.claim.id.text, id_of(2).text);
}

#define THREADS 64
#define KEYS    200

struct race {
	int number;
	struct job_store *store;
	struct said *said;
};

static void *
claim_all(void *arg)
{
	const struct race *race = arg;
	char key[16];

	for (int i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof key, "key %d", i);
		struct job_claim claim = claim_of(key, race->number * 1000 + i);

		if (job_store_claim(race->store, &claim, on_claimed, &race->said[i]) != TALLY_OK)
			abort();
	}
	return NULL;
}

STORE(has_one_winner_for_each_key_whom_all_agree_on)
{
	struct job_store *one = start_at(url(), 10000, 30000);
	struct job_store *other = start_at(url(), 10000, 30000);
	struct race races[THREADS];
	pthread_t threads[THREADS];
	atomic_int n_done = 0;

	for (int i = 0; i < THREADS; i++) {
		races[i] =
		    (struct race){ i, i % 2 ? one : other, calloc(KEYS, sizeof(struct said)) };
		for (int k = 0; k < KEYS; k++)
			races[i].said[k].n_done = &n_done;
		cr_assert_eq(pthread_create(&threads[i], NULL, claim_all, &races[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	SERVICE_AWAIT(atomic_load(&n_done) == THREADS * KEYS);
	for (int k = 0; k < KEYS; k++) {
		int n_new = 0;

		for (int i = 0; i < THREADS; i++) {
			cr_assert_eq(races[i].said[k].status, TALLY_OK);
			n_new += races[i].said[k].is_new;
			cr_assert_str_eq(races[i].said[k].claim.id.text,
					 races[0].said[k].claim.id.text);
		}
		cr_assert_eq(n_new, 1);
	}
	for (int i = 0; i < THREADS; i++)
		free(races[i].said);
	job_store_stop(one);
	job_store_stop(other);
}

/* ---- harm -------------------------------------------------------------------- */

/* Asks everything, and expects it to be unavailable in time. */
static void
expect_away(void)
{
	static struct said said[6];
	struct job job = { .id = id_of(1), .created_ms = clock_unix_ms(), .n_bytes = 9 };
	const struct job_list_query query = { .tenant = "a", .limit = 9 };
	struct job_claim claim = claim_of("k", 1);
	int64_t began_ms = clock_mono_ms();

	memset(said, 0, sizeof said);
	cr_assert_eq(job_store_get(store, "a", &job.id, on_found, &said[0]), TALLY_OK);
	cr_assert_eq(job_store_read_body(store, &job, on_body, &said[1]), TALLY_OK);
	cr_assert_eq(job_store_list(store, &query, on_listed, &said[2]), TALLY_OK);
	cr_assert_eq(job_store_claim(store, &claim, on_claimed, &said[3]), TALLY_OK);
	cr_assert_eq(job_store_confirm(store, "a", "k", on_done, &said[4]), TALLY_OK);
	cr_assert_eq(job_store_get(store, "a", &job.id, on_found, &said[5]), TALLY_OK);
	for (int i = 0; i < 6; i++) {
		SERVICE_AWAIT(atomic_load(&said[i].n));
		cr_expect_eq(said[i].status, TALLY_JOB_STORE_UNAVAILABLE, "%d", i);
		cr_expect_leq(said[i].at_ms - began_ms, TIMEOUT_MS + LATE_MS, "%d: %d ms", i,
			      (int)(said[i].at_ms - began_ms));
	}
	cr_expect_not(job_store_is_up(store));
}

static bool
is_back(struct said *said)
{
	get_of(said, "a", 1);
	return said->status == TALLY_OK;
}

HARMED(answers_in_time_when_the_server_is_frozen_and_goes_on_afterwards)
{
	static struct said said, late, woken;
	struct job_watch watches[2];
	int64_t due_ms;

	insert_job(1, "queued");
	get_of(&said, "a", 1);
	cr_assert_eq(said.status, TALLY_OK);
	watch(&watches[0], &late, 1, JOB_QUEUED, 500);
	watch(&watches[1], &woken, 1, JOB_QUEUED, 60000);
	due_ms = watches[0].deadline_ms;
	cluster_signal(own, SIGSTOP);
	for (int i = 0; i < 3; i++)
		expect_away();
	SERVICE_AWAIT(atomic_load(&late.n));
	cr_expect_eq(late.status, TALLY_JOB_STORE_UNAVAILABLE);
	cr_expect_leq(late.at_ms - due_ms, 2000 + LATE_MS);
	cluster_signal(own, SIGCONT);
	SERVICE_AWAIT(is_back(&said));
	set_state(1, "running");
	SERVICE_AWAIT(atomic_load(&woken.n));
	cr_expect_eq(woken.job.state, JOB_RUNNING);
}

HARMED(fails_at_once_when_the_server_is_gone_and_comes_back_with_it)
{
	static struct said said, late, woken;
	struct job_watch watches[2];

	insert_job(1, "queued");
	get_of(&said, "a", 1);
	watch(&watches[0], &late, 1, JOB_QUEUED, 500);
	watch(&watches[1], &woken, 1, JOB_QUEUED, 60000);
	cluster_kill(own);
	expect_away();
	SERVICE_AWAIT(atomic_load(&late.n));
	cr_expect_eq(late.status, TALLY_JOB_STORE_UNAVAILABLE);
	cr_expect_leq(late.at_ms - watches[0].deadline_ms, LATE_MS);
	cluster_restart(own);
	SERVICE_AWAIT(is_back(&said));
	set_state(1, "cancelled");
	SERVICE_AWAIT(atomic_load(&woken.n));
	cr_expect_eq(woken.job.state, JOB_CANCELLED);
}

HARMED(does_not_notice_a_restart_between_two_questions)
{
	static struct said said;

	insert_job(1, "queued");
	for (int i = 0; i < 3; i++) {
		get_of(&said, "a", 1);
		cr_expect_eq(said.status, TALLY_OK);
		cluster_restart(own);
	}
}

HARMED(takes_no_more_questions_than_its_queue_holds)
{
	static struct said said[12];
	struct tally_job_id id = id_of(1);
	int n_taken = 0;

	job_store_stop(store);
	store = start_at(url(), 4, TIMEOUT_MS);
	SERVICE_AWAIT((get_of(&said[0], "a", 1), said[0].status != TALLY_JOB_STORE_UNAVAILABLE));
	memset(said, 0, sizeof said);
	cluster_signal(own, SIGSTOP);
	for (int i = 0; i < 12; i++) {
		tally_status status = job_store_get(store, "a", &id, on_found, &said[i]);

		cr_assert(status == TALLY_OK || status == TALLY_SATURATED);
		n_taken += status == TALLY_OK;
	}
	/* Two threads may have taken some. */
	cr_expect(n_taken >= 4 && n_taken < 12);
}

HARMED(answers_what_waits_when_it_stops)
{
	static struct said said[100], watched;
	static struct job_watch one;
	int64_t began_ms;

	get_of(&said[0], "a", 1);
	watch(&one, &watched, 1, JOB_QUEUED, 60000);
	memset(said, 0, sizeof said);
	cluster_signal(own, SIGSTOP);
	for (int i = 0; i < 100; i++) {
		struct tally_job_id id = id_of(i);

		cr_assert_eq(job_store_get(store, "a", &id, on_found, &said[i]), TALLY_OK);
	}
	began_ms = clock_mono_ms();
	job_store_stop(store);
	store = NULL;
	cr_expect_leq(clock_mono_ms() - began_ms, LATE_MS);
	for (int i = 0; i < 100; i++)
		cr_expect(atomic_load(&said[i].n) == 1
			  && said[i].status == TALLY_JOB_STORE_UNAVAILABLE);
	cr_expect(atomic_load(&watched.n) == 1 && watched.status == TALLY_JOB_STORE_UNAVAILABLE);
}

Test(job_store, refuses_what_is_no_url)
{
	const struct job_store_options options = {
		.url = "mysql://a:secret@b/c", .connections = 1, .queue_max = 1, .timeout_ms = 100
	};
	struct tally_error err = { 0 };

	cr_expect_eq(job_store_start(&options, &store, &err), TALLY_WRONG_SETTING);
	cr_expect_null(strstr(err.detail, "secret"));
}

/* ---- days -------------------------------------------------------------------- */

static void *
make_days(void *arg)
{
	execute(arg);
	return NULL;
}

STORE(makes_each_day_once_and_drops_it_after_its_retention)
{
	static char sql[] = "SELECT make_job_days('2001-01-01', '2001-01-09')";
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, make_days, sql), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	/* 01:00 on the 6th is the end of what was created on the 4th, and an hour. */
	execute("DO $$ BEGIN"
		" ASSERT drop_job_days(extract(epoch FROM timestamp '2001-01-06 00:59')::bigint"
		"                      * 1000) = 6, 'three days';"
		" ASSERT drop_job_days(extract(epoch FROM timestamp '2001-01-06 01:00')::bigint"
		"                      * 1000) = 2, 'and the fourth';"
		" ASSERT to_regclass('jobs_20010104') IS NULL AND to_regclass('results_20010104')"
		"   IS NULL AND to_regclass('jobs_20010105') IS NOT NULL;"
		" ASSERT drop_job_days(extract(epoch FROM now())::bigint * 1000) >= 10; END $$");
}
