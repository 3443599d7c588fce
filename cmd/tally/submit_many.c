/* submit_many.c - a job request a line, several at once.
 *
 * Threads take line after line and put what came of it into a window, from which it is printed in
 * the order of the lines; a thread that is a whole window ahead of the slowest waits for it. */
#include "submit.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tally/job.h>

#include "base/clock.h"

#define WINDOW         1024
#define MAX_THREADS    256
#define MAX_TRIES      5
#define MAX_PAUSE_S    30
#define PROGRESS_MS    100
#define PROGRESS_WIDTH 24

/* What came of a line. */
struct outcome {
	bool is_there;
	char *text; /* to be printed: an id, or a document; NULL: it failed */
};

struct batch {
	const struct submit_many *many;
	/* The file: guarded by in_lock. */
	pthread_mutex_t in_lock;
	FILE *in;
	uint64_t n_lines; /* empty ones, too: for messages and keys */
	uint64_t n_taken;
	int64_t n_bytes_taken;
	int64_t n_bytes; /* of the file; 0: not known */
	/* The rest: guarded by out_lock, which may be taken under in_lock. */
	pthread_mutex_t out_lock;
	pthread_cond_t moved;
	struct outcome window[WINDOW];
	uint64_t n_printed;
	uint64_t n_failed;
	uint64_t n_done;
	int64_t n_bytes_seen;
	int64_t began_ms;
	int64_t shown_ms;
	bool has_bar;
	bool is_broken; /* standard output cannot be written: no more */
};

struct line {
	char *text; /* of TALLY_MAX_REQUEST_BYTES + 1 */
	size_t len;
	bool is_too_long;
	uint64_t number; /* from 1 */
	uint64_t turn;   /* from 0, without empty lines */
};

/* ---- progress ---------------------------------------------------------------- */

static void
clear_bar(struct batch *batch)
{
	if (batch->has_bar)
		(void)fputs("\r\033[K", stderr);
}

static void
draw(const struct batch *batch)
{
	if (batch->n_bytes <= 0)
		return;
	int64_t full = batch->n_bytes_seen * PROGRESS_WIDTH / batch->n_bytes;

	(void)fputc('[', stderr);
	for (int i = 0; i < PROGRESS_WIDTH; i++)
		(void)fputc(i < full ? '#' : '.', stderr);
	(void)fprintf(stderr, "] %3d %% ", (int)(batch->n_bytes_seen * 100 / batch->n_bytes));
}

/* With out_lock held. */
static void
show_bar(struct batch *batch)
{
	int64_t now_ms = clock_mono_ms();
	int64_t took_ms = now_ms - batch->began_ms;

	if (!batch->has_bar || now_ms - batch->shown_ms < PROGRESS_MS)
		return;
	batch->shown_ms = now_ms;
	clear_bar(batch);
	draw(batch);
	(void)fprintf(stderr, "%" PRIu64 " submitted, %" PRIu64 " failed, %.0f a second",
		      batch->n_done - batch->n_failed, batch->n_failed,
		      took_ms > 0 ? (double)batch->n_done * 1000 / (double)took_ms : 0.0);
	(void)fflush(stderr);
}

static void
show_end(struct batch *batch)
{
	double took_s = (double)(clock_mono_ms() - batch->began_ms) / 1000;

	clear_bar(batch);
	(void)fprintf(
	    stderr, "tally: %" PRIu64 " submitted, %" PRIu64 " failed, in %.1f s: %.0f a second\n",
	    batch->n_done - batch->n_failed, batch->n_failed, took_s,
	    took_s > 0 ? (double)batch->n_done / took_s : 0.0);
}

/* ---- lines ------------------------------------------------------------------- */

/* Reads up to the next new line; false at the end of the file. */
static bool
read_line(struct batch *batch, struct line *line)
{
	int c;

	line->len = 0;
	line->is_too_long = false;
	while ((c = getc_unlocked(batch->in)) != EOF && c != '\n') {
		batch->n_bytes_taken++;
		if (line->len == TALLY_MAX_REQUEST_BYTES)
			line->is_too_long = true;
		else
			line->text[line->len++] = (char)c;
	}
	batch->n_bytes_taken += c == '\n';
	if (c == EOF && line->len == 0)
		return false;
	line->number = ++batch->n_lines;
	return true;
}

static bool
is_empty(const struct line *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (!strchr(" \t\r", line->text[i]))
			return false;
	return true;
}

/* Waits until a turn has its place in the window; false: it is over. */
static bool
wait_for_place(struct batch *batch, uint64_t turn)
{
	bool is_over;

	pthread_mutex_lock(&batch->out_lock);
	while (turn - batch->n_printed >= WINDOW && !batch->is_broken)
		pthread_cond_wait(&batch->moved, &batch->out_lock);
	is_over = batch->is_broken;
	batch->n_bytes_seen = batch->n_bytes_taken;
	pthread_mutex_unlock(&batch->out_lock);
	return !is_over;
}

static bool
take_line(struct batch *batch, struct line *line)
{
	bool is_there;

	pthread_mutex_lock(&batch->in_lock);
	do
		is_there = read_line(batch, line);
	while (is_there && is_empty(line));
	if (is_there) {
		line->turn = batch->n_taken++;
		is_there = wait_for_place(batch, line->turn);
	}
	pthread_mutex_unlock(&batch->in_lock);
	return is_there;
}

/* ---- what came of them ------------------------------------------------------- */

static void
print_ready(struct batch *batch)
{
	struct outcome *next = &batch->window[batch->n_printed % WINDOW];

	while (next->is_there) {
		(void)puts(next->text ? next->text : "");
		free(next->text);
		*next = (struct outcome){ 0 };
		next = &batch->window[++batch->n_printed % WINDOW];
	}
	batch->is_broken = batch->is_broken || ferror(stdout);
	pthread_cond_broadcast(&batch->moved);
}

/* Takes text (NULL: it failed, and why says so). */
static void
put_outcome(struct batch *batch, const struct line *line, char *text, const char *why)
{
	pthread_mutex_lock(&batch->out_lock);
	batch->window[line->turn % WINDOW] = (struct outcome){ true, text };
	batch->n_done++;
	if (!text) {
		batch->n_failed++;
		clear_bar(batch);
		(void)fprintf(stderr, "tally: line %" PRIu64 ": %s\n", line->number, why);
	}
	print_ready(batch);
	show_bar(batch);
	pthread_mutex_unlock(&batch->out_lock);
}

static char *
text_of(const json_t *job, bool as_json)
{
	const char *id = api_job_text(job, "id");

	if (as_json)
		return json_dumps(job, JSON_COMPACT);
	return id[0] ? strdup(id) : NULL;
}

static void
explain(const struct http_answer *answer, char *why, size_t size)
{
	json_auto_t *problem = json_loadb(answer->body, answer->body_len, 0, NULL);
	const json_t *fault = json_array_get(json_object_get(problem, "errors"), 0);

	if (fault)
		(void)snprintf(why, size, "HTTP %d: %s: %s %s", answer->status,
			       api_problem_code(problem), api_job_text(fault, "name"),
			       api_job_text(fault, "detail"));
	else
		(void)snprintf(why, size, "HTTP %d: %s: %s", answer->status,
			       api_problem_code(problem), api_job_text(problem, "detail"));
}

/* ---- a thread ---------------------------------------------------------------- */

/* Whether the gateway asks to come again, and nothing was published; with a key that may be
 * unknown. */
static bool
may_try_again(const struct http_answer *answer, bool has_key)
{
	json_auto_t *problem = NULL;

	if (answer->status == 429)
		return true;
	if (answer->status != 503)
		return false;
	problem = json_loadb(answer->body, answer->body_len, 0, NULL);
	return has_key || strcmp(api_problem_code(problem), "outcome_unknown") != 0;
}

static void
pause_for(int seconds)
{
	struct timespec left = { seconds < 0             ? 1
				 : seconds > MAX_PAUSE_S ? MAX_PAUSE_S
							 : seconds,
				 0 };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

/* Posts one line, again when it may be tried again; the outcome's text, or NULL and why. */
static char *
post(const struct batch *batch, struct http_client *client, const struct line *line, char *why,
     size_t size)
{
	const struct submit_many *many = batch->many;
	char key[TALLY_IDEMPOTENCY_KEY_MAX + 32];
	char *text = NULL;
	bool again = true;

	if (line->is_too_long) {
		(void)snprintf(why, size, "it is longer than %d bytes", TALLY_MAX_REQUEST_BYTES);
		return NULL;
	}
	(void)snprintf(key, sizeof key, "%s-%" PRIu64, many->key ? many->key : "", line->number);
	const struct submission submission = { line->text, line->len, many->key ? key : NULL, 0 };
	for (int tries = 0; again && tries < MAX_TRIES; tries++) {
		struct http_answer answer = { 0 };
		struct tally_error err = { 0 };
		tally_status status = submit_post(many->api, client, &submission, &answer, &err);

		again = status == TALLY_OK && may_try_again(&answer, many->key != NULL);
		if (status != TALLY_OK) {
			(void)snprintf(why, size, "%s", err.detail);
		} else if (answer.status == 200 || answer.status == 202) {
			json_auto_t *job = json_loadb(answer.body, answer.body_len, 0, NULL);

			text = text_of(job, many->as_json);
			(void)snprintf(why, size, "the answer is not a job");
		} else {
			explain(&answer, why, size);
		}
		if (again && tries + 1 < MAX_TRIES)
			pause_for(answer.retry_after_s);
		http_answer_fini(&answer);
	}
	return text;
}

static void *
work(void *arg)
{
	struct batch *batch = arg;
	struct http_client *client = http_client_new();
	struct line line = { .text = malloc(TALLY_MAX_REQUEST_BYTES + 1) };

	while (client && line.text && take_line(batch, &line)) {
		char why[768] = "";
		char *text = post(batch, client, &line, why, sizeof why);

		put_outcome(batch, &line, text, why);
	}
	free(line.text);
	http_client_free(client);
	return NULL;
}

/* ---- all of them ------------------------------------------------------------- */

static bool
open_file(struct batch *batch)
{
	const char *path = batch->many->path;
	struct stat about;

	batch->in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!batch->in) {
		(void)fprintf(stderr, "tally: %s: %s\n", path, strerror(errno));
		return false;
	}
	if (fstat(fileno(batch->in), &about) == 0 && S_ISREG(about.st_mode))
		batch->n_bytes = about.st_size;
	return true;
}

/* Whether any thread could be started. */
static bool
run_threads(struct batch *batch)
{
	pthread_t threads[MAX_THREADS];
	unsigned n = 0;

	while (n < batch->many->concurrency && n < MAX_THREADS
	       && pthread_create(&threads[n], NULL, work, batch) == 0)
		n++;
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return n > 0;
}

static int
run_batch(struct batch *batch)
{
	bool is_read;

	batch->began_ms = clock_mono_ms();
	if (!run_threads(batch)) {
		(void)fputs("tally: no thread can be started\n", stderr);
		return CLI_FAILED;
	}
	is_read = feof(batch->in) && !ferror(batch->in);
	show_end(batch);
	if (!is_read)
		(void)fprintf(stderr, "tally: %s was not read to its end\n", batch->many->path);
	return batch->n_failed > 0 || !is_read ? CLI_FAILED : CLI_OK;
}

int
submit_many(const struct submit_many *many)
{
	struct batch *batch = calloc(1, sizeof *batch);
	int code = CLI_FAILED;

	if (!batch)
		return cli_fail(TALLY_NO_MEMORY, &(struct tally_error){ 0 });
	batch->many = many;
	batch->has_bar = isatty(STDERR_FILENO);
	pthread_mutex_init(&batch->in_lock, NULL);
	pthread_mutex_init(&batch->out_lock, NULL);
	pthread_cond_init(&batch->moved, NULL);
	if (open_file(batch)) {
		code = run_batch(batch);
		if (batch->in != stdin)
			(void)fclose(batch->in);
	}
	pthread_cond_destroy(&batch->moved);
	pthread_mutex_destroy(&batch->out_lock);
	pthread_mutex_destroy(&batch->in_lock);
	free(batch);
	return code;
}
