/* job_events.c - streams of events.
 *
 * A stream is always in one hand: that of the store, which has exactly one question of it under way
 * (a look-up, then one watch after the other), or of the callback that answers.  The client that
 * leaves and the gateway that stops take it from the store (job_store_unwatch); when that fails it
 * is in a callback's hand, which finds is_over and frees it. */
#include "gateway/job_events.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "gateway/gateway_inner.h"
#include "gateway/job_document.h"
#include "gateway/jobs.h"
#include "http/push.h"

#define COMMENT_MS   15000
#define UNSENT_BYTES ((size_t)256 << 10)
#define FINAL_NUMBER 3
#define TOO_OLD      "jobs and results are kept for 24 hours"

struct stream {
	struct job_events *events;
	struct job_store *store;
	struct exchange exchange; /* until the answer */
	struct job_watch watch;
	int64_t created_ms; /* of the id; -1 of a foreign one */
	int last;           /* number of the newest state that the client knows; 0: none */
	struct http_push *push;
	struct tenant *waiting; /* after the answer: the tenant whose wait this is, held */
	pthread_mutex_t lock;   /* guards what follows; taken before the store's */
	bool is_watched;
	bool is_over; /* the client has left, or the gateway stops */
	LIST_ENTRY(stream) link;
};

struct job_events {
	size_t max;
	pthread_mutex_t lock; /* guards what follows; taken before a stream's */
	LIST_HEAD(, stream) streams;
	size_t n;
	bool is_closed;
};

/* ---- all streams ------------------------------------------------------------- */

struct job_events *
job_events_new(size_t max)
{
	struct job_events *events = calloc(1, sizeof *events);

	if (!events)
		return NULL;
	events->max = max;
	pthread_mutex_init(&events->lock, NULL);
	LIST_INIT(&events->streams);
	return events;
}

void
job_events_free(struct job_events *events)
{
	if (!events)
		return;
	assert(events->n == 0);
	pthread_mutex_destroy(&events->lock);
	free(events);
}

size_t
job_events_count(struct job_events *events)
{
	size_t n;

	pthread_mutex_lock(&events->lock);
	n = events->n;
	pthread_mutex_unlock(&events->lock);
	return n;
}

static tally_status
add(struct stream *stream, struct tally_error *err)
{
	struct job_events *events = stream->events;
	tally_status status = TALLY_OK;

	pthread_mutex_lock(&events->lock);
	if (events->is_closed)
		status = tally_fail(err, TALLY_SATURATED, "this gateway is stopping");
	else if (events->n == events->max)
		status = tally_fail(err, TALLY_SATURATED, "too many event streams are open");
	if (status == TALLY_OK) {
		LIST_INSERT_HEAD(&events->streams, stream, link);
		events->n++;
	}
	pthread_mutex_unlock(&events->lock);
	return status;
}

/* The stream is over: whether it is the caller's to free, and not a callback's. */
static bool
take_over(struct stream *stream)
{
	bool is_mine;

	pthread_mutex_lock(&stream->lock);
	stream->is_over = true;
	is_mine = stream->is_watched && job_store_unwatch(stream->store, &stream->watch);
	stream->is_watched = stream->is_watched && !is_mine;
	pthread_mutex_unlock(&stream->lock);
	return is_mine;
}

/* Ends what the client gets, and frees a stream that is in nobody else's hand. */
static void
end(struct stream *stream)
{
	struct job_events *events = stream->events;

	pthread_mutex_lock(&events->lock);
	LIST_REMOVE(stream, link);
	pthread_mutex_unlock(&events->lock);
	/* No on_gone comes any more after this. */
	http_push_free(stream->push);
	if (stream->waiting)
		tenant_leave(stream->waiting, TENANT_WAIT);
	tenant_drop(stream->waiting);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
	/* The last touch: with none left the events may be freed. */
	pthread_mutex_lock(&events->lock);
	events->n--;
	pthread_mutex_unlock(&events->lock);
}

/* The first stream that can be taken over; NULL: none is left. */
static struct stream *
take_any(struct job_events *events)
{
	struct stream *stream;

	pthread_mutex_lock(&events->lock);
	events->is_closed = true;
	LIST_FOREACH (stream, &events->streams, link) {
		if (take_over(stream))
			break;
	}
	pthread_mutex_unlock(&events->lock);
	return stream;
}

void
job_events_close(struct job_events *events)
{
	struct stream *stream;

	while ((stream = take_any(events)))
		end(stream);
}

/* ---- what is sent ------------------------------------------------------------ */

static int
number_of(enum job_state state)
{
	return job_state_is_final(state) ? FINAL_NUMBER : state == JOB_RUNNING ? 2 : 1;
}

/* Appends the event of a state to text; job is NULL before it is recorded. */
static tally_status
put_event(const struct stream *stream, const struct job *job, struct buf *text)
{
	struct job_document document = { 0 };
	int64_t now_ms = clock_unix_ms();
	tally_status status = job ? job_document_make(job, now_ms, &document)
				  : job_document_make_early(&stream->watch.id, stream->created_ms,
							    JOB_QUEUED, now_ms, &document);

	if (status == TALLY_OK)
		status = buf_printf(
		    text, "id: %d\nevent: state\ndata: ", job ? number_of(job->state) : 1);
	if (status == TALLY_OK)
		status = buf_append(text, document.text, document.len);
	if (status == TALLY_OK)
		status = buf_puts(text, "\n\n");
	free(document.text);
	return status;
}

/* Whether an id without a row never was a job. */
static bool
never_was(const struct stream *stream, int64_t watermark_ms)
{
	return stream->created_ms < 0
	       || (watermark_ms > 0 && stream->created_ms + JOB_SURE_MS < watermark_ms);
}

/* Sends what is new, or a comment; false: the stream ends. */
static bool
tell(struct stream *stream, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct buf text = BUF_INIT(UNSENT_BYTES);
	bool is_new = status == TALLY_OK && number_of(job->state) > stream->last;
	bool is_final = status == TALLY_OK && job_state_is_final(job->state);
	tally_status sent = is_new ? put_event(stream, job, &text) : buf_puts(&text, ":\n\n");

	if (status == TALLY_NOT_FOUND && never_was(stream, watermark_ms))
		is_final = true;
	if (is_new) {
		stream->last = number_of(job->state);
		stream->watch.seen = job->state;
	}
	if (sent == TALLY_OK)
		sent = http_push_write(stream->push, text.data, text.len);
	buf_fini(&text);
	/* Of a client that has left on_gone tells. */
	return !is_final && (sent == TALLY_OK || sent == TALLY_CLOSED);
}

/* ---- as the job moves -------------------------------------------------------- */

static job_found_fn on_found;

static void
watch_or_end(struct stream *stream)
{
	bool is_watched = false;

	pthread_mutex_lock(&stream->lock);
	if (!stream->is_over) {
		stream->watch.deadline_ms = clock_mono_ms() + COMMENT_MS;
		/* At the store's limit the client has to come again. */
		is_watched = job_store_watch(stream->store, &stream->watch) == TALLY_OK;
	}
	stream->is_watched = is_watched;
	pthread_mutex_unlock(&stream->lock);
	if (!is_watched)
		end(stream);
}

/* Takes the stream from the store; whether it is over. */
static bool
take_in_hand(struct stream *stream)
{
	bool is_over;

	pthread_mutex_lock(&stream->lock);
	stream->is_watched = false;
	is_over = stream->is_over;
	pthread_mutex_unlock(&stream->lock);
	return is_over;
}

static void
on_found(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct stream *stream = ctx;

	if (!take_in_hand(stream) && tell(stream, status, job, watermark_ms))
		watch_or_end(stream);
	else
		end(stream);
}

static void
on_gone(void *ctx)
{
	struct stream *stream = ctx;

	if (take_over(stream))
		end(stream);
}

/* ---- how it begins ----------------------------------------------------------- */

static void
refuse(struct stream *stream, tally_status status, const char *detail)
{
	struct tally_error err = { 0 };

	(void)tally_fail(&err, status, "%s", detail);
	if (status == TALLY_JOB_STORE_UNAVAILABLE)
		(void)snprintf(err.source, sizeof err.source, "jobs");
	exchange_problem(&stream->exchange, &err, NULL);
	end(stream);
}

static void
answer_nothing_new(struct stream *stream)
{
	struct http_response response;

	http_response_init(&response, 204);
	exchange_reply(&stream->exchange, &response);
	end(stream);
}

/* What a client gets first: how soon to come again, and the present state unless it knows it. */
static tally_status
make_body(struct stream *stream, const struct job *job)
{
	struct buf text = BUF_INIT(UNSENT_BYTES);
	int number = job ? number_of(job->state) : 1;
	tally_status status = buf_puts(&text, "retry: 2000\n\n");

	if (status == TALLY_OK && number > stream->last)
		status = put_event(stream, job, &text);
	stream->last = number > stream->last ? number : stream->last;
	stream->watch.seen = job ? job->state : JOB_QUEUED;
	stream->push = http_push_new(UNSENT_BYTES, on_gone, stream);
	if (!stream->push)
		status = TALLY_NO_MEMORY;
	if (status == TALLY_OK)
		status = http_push_write(stream->push, text.data, text.len);
	buf_fini(&text);
	return status;
}

/* job is NULL before it is recorded. */
static void
begin(struct stream *stream, const struct job *job)
{
	struct http_response response;
	tally_status status = make_body(stream, job);

	if (status != TALLY_OK) {
		refuse(stream, status, tally_status_title(status));
		return;
	}
	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", "text/event-stream");
	http_response_header(&response, "Cache-Control", "no-store");
	http_response_header(&response, "X-Accel-Buffering", "no"); /* nginx holds nothing back */
	http_response_push(&response, stream->push);
	stream->waiting = exchange_take_wait(&stream->exchange);
	/* From here on on_gone may come; what it sets is seen below. */
	exchange_reply(&stream->exchange, &response);
	if (job && job_state_is_final(job->state))
		end(stream);
	else
		watch_or_end(stream);
}

static void
on_first(void *ctx, tally_status status, const struct job *job, int64_t watermark_ms)
{
	struct stream *stream = ctx;

	if (take_in_hand(stream))
		refuse(stream, TALLY_SATURATED, "this gateway is stopping");
	else if (status == TALLY_OK && job->created_ms + JOB_RETENTION_MS < clock_unix_ms())
		refuse(stream, TALLY_EXPIRED, TOO_OLD);
	else if (status == TALLY_OK && job_state_is_final(job->state)
		 && stream->last == FINAL_NUMBER)
		answer_nothing_new(stream);
	else if (status == TALLY_OK)
		begin(stream, job);
	else if (status != TALLY_NOT_FOUND)
		refuse(stream, status, "the job store does not answer; the job goes on meanwhile");
	else if (never_was(stream, watermark_ms))
		refuse(stream, TALLY_NOT_FOUND, "there is no such job");
	else
		begin(stream, NULL);
}

/* The number in Last-Event-ID; 0 without one of ours. */
static int
last_event(struct http_request *request)
{
	const char *text = http_request_header(request, "Last-Event-ID");
	bool is_ours = text && text[0] >= '1' && text[0] <= '0' + FINAL_NUMBER && text[1] == '\0';

	return is_ours ? text[0] - '0' : 0;
}

static struct stream *
make_stream(const struct exchange *exchange, struct gateway_jobs *jobs,
	    const struct tally_job_id *id, const struct tally_job_id_parts *parts)
{
	struct stream *stream = calloc(1, sizeof *stream);

	if (!stream)
		return NULL;
	stream->events = exchange->gateway->events;
	stream->store = gateway_jobs_store(jobs);
	stream->exchange = *exchange;
	stream->created_ms = parts->is_foreign ? -1 : parts->created_ms;
	stream->last = last_event(exchange->request);
	stream->watch = (struct job_watch){ .id = *id, .found = on_found, .ctx = stream };
	(void)snprintf(stream->watch.tenant, sizeof stream->watch.tenant, "%s",
		       exchange_tenant(exchange));
	pthread_mutex_init(&stream->lock, NULL);
	return stream;
}

/* On failure nothing is left, and the request is still to be answered. */
static tally_status
start(const struct exchange *exchange, struct gateway_jobs *jobs, const struct tally_job_id *id,
      const struct tally_job_id_parts *parts, struct tally_error *err)
{
	struct stream *stream = make_stream(exchange, jobs, id, parts);
	tally_status status;

	if (!stream)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	status = add(stream, err);
	if (status != TALLY_OK) {
		pthread_mutex_destroy(&stream->lock);
		free(stream);
		return status;
	}
	status = job_store_get(stream->store, stream->watch.tenant, id, on_first, stream);
	if (status == TALLY_OK)
		return TALLY_OK;
	end(stream);
	return tally_fail(err, status, "too many questions to the job store wait");
}

static void
get_events(struct exchange *exchange, struct gateway_jobs *jobs)
{
	const char *tenant = exchange_tenant(exchange);
	struct tally_job_id_parts parts;
	struct tally_error err = { 0 };
	struct tally_job_id id;
	tally_status status = gateway_jobs_check_id(jobs, tenant, exchange->variable,
						    exchange->variable_len, &id, &parts);

	if (status != TALLY_OK) {
		(void)tally_fail(&err, status, "%s",
				 status == TALLY_EXPIRED ? TOO_OLD : "there is no such job");
		exchange_problem(exchange, &err, NULL);
		return;
	}
	if (exchange_wait(exchange) && start(exchange, jobs, &id, &parts, &err) != TALLY_OK)
		exchange_problem(exchange, &err, NULL);
}

void
gateway_get_job_events(const struct exchange *exchange)
{
	struct gateway_jobs *jobs = gateway_jobs_begin(exchange);

	struct exchange own = *exchange;

	if (!jobs)
		return;
	get_events(&own, jobs);
	gateway_jobs_end(jobs);
}
