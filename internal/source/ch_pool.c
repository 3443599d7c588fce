#include "source/ch_pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/own.h"

#define UNAVAILABLE_AFTER_MS 1000
#define AGAIN_MS             50
#define LARGE_BYTES          ((size_t)256 << 10)

static void dispatch(struct clickhouse *clickhouse);

/* ---- endings ----------------------------------------------------------------- */

/* Frees the slot, and tells its query. */
static void
end_query(struct ch_slot *slot, struct source_outcome *outcome)
{
	struct clickhouse *clickhouse = slot->clickhouse;
	struct source_query *query = TAKE(slot->query);

	loop_timer_clear(clickhouse->loop, &slot->deadline);
	loop_timer_clear(clickhouse->loop, &slot->again);
	/* First the next one, so that the server works while we do. */
	dispatch(clickhouse);
	source_deliver(&clickhouse->source, query, outcome);
}

/* Ends a query from outside, with the connection that it runs on. */
static void
abort_query(struct ch_slot *slot, tally_status status, const char *what)
{
	struct source_outcome outcome = { .status = status };

	if (slot->again.slot == 0)
		curl_loop_remove(&slot->clickhouse->curl, slot->exchange.easy);
	ch_exchange_drop(&slot->exchange);
	(void)tally_fail(&outcome.err, status, "%s: %s", slot->query->statement->where, what);
	end_query(slot, &outcome);
}

/* ---- waiting ----------------------------------------------------------------- */

/* When a query gives up, as things are. */
static int64_t
gives_up_at_ms(const struct clickhouse *clickhouse, const struct source_query *query)
{
	int64_t from_ms = query->since_ms;

	if (clickhouse->down_since_ms == 0)
		return query->deadline_ms;
	if (from_ms < clickhouse->down_since_ms)
		from_ms = clickhouse->down_since_ms;
	from_ms += UNAVAILABLE_AFTER_MS;
	return from_ms < query->deadline_ms ? from_ms : query->deadline_ms;
}

/* Moves the timer forward to at_ms, if it is later than that or not set. */
static void
be_patient_until(struct clickhouse *clickhouse, int64_t at_ms)
{
	if (clickhouse->patience.slot == 0 || clickhouse->patience.at_ms > at_ms)
		(void)!loop_timer_set(clickhouse->loop, &clickhouse->patience, at_ms);
}

static void
remove_waiting(struct clickhouse *clickhouse, struct source_query *query)
{
	TAILQ_REMOVE(&clickhouse->waiting, query, link);
	clickhouse->source.stats.waiting = --clickhouse->n_waiting;
}

static void
write_unreachable(const struct clickhouse *clickhouse, char *out, size_t cap)
{
	(void)snprintf(out, cap, "cannot be reached: %s", clickhouse->reason);
}

static void
give_up(struct clickhouse *clickhouse, struct source_query *query)
{
	char what[sizeof clickhouse->reason + 32];

	if (clickhouse->down_since_ms == 0) {
		source_refuse(&clickhouse->source, query, TALLY_DEADLINE_EXCEEDED,
			      "had no free connection before the deadline");
		return;
	}
	write_unreachable(clickhouse, what, sizeof what);
	source_refuse(&clickhouse->source, query, TALLY_SOURCE_UNAVAILABLE, what);
}

static struct source_query *
find_impatient(struct clickhouse *clickhouse, int64_t now_ms)
{
	struct source_query *query;

	TAILQ_FOREACH (query, &clickhouse->waiting, link) {
		if (gives_up_at_ms(clickhouse, query) <= now_ms)
			return query;
	}
	return NULL;
}

static void
renew_patience(struct clickhouse *clickhouse)
{
	struct source_query *query;

	TAILQ_FOREACH (query, &clickhouse->waiting, link)
		be_patient_until(clickhouse, gives_up_at_ms(clickhouse, query));
}

void
ch_pool_on_patience(void *ctx)
{
	struct clickhouse *clickhouse = ctx;
	int64_t now_ms = clock_mono_ms();
	struct source_query *query;

	/* From the start each time: done may change the list. */
	while ((query = find_impatient(clickhouse, now_ms))) {
		remove_waiting(clickhouse, query);
		give_up(clickhouse, query);
	}
	renew_patience(clickhouse);
}

/* ---- running ----------------------------------------------------------------- */

static struct ch_slot *
find_idle(struct clickhouse *clickhouse)
{
	for (size_t i = 0; i < clickhouse->n_slots; i++) {
		if (!clickhouse->slots[i].query)
			return &clickhouse->slots[i];
	}
	return NULL;
}

static struct ch_habit *
habit_of(struct clickhouse *clickhouse, const struct source_query *query)
{
	return &clickhouse->habits[query->statement->id % CH_HABITS];
}

/* The server's limit: its setting, or what is left until the deadline. */
static int64_t
timeout_ms(const struct clickhouse *clickhouse, const struct source_query *query)
{
	int64_t left_ms = query->deadline_ms - clock_mono_ms();

	if (clickhouse->query_timeout_ms > 0 && left_ms > clickhouse->query_timeout_ms)
		return clickhouse->query_timeout_ms;
	return left_ms > 0 ? left_ms : 1;
}

static tally_status
begin_exchange(struct ch_slot *slot, struct source_query *query, struct tally_error *err)
{
	struct clickhouse *clickhouse = slot->clickhouse;
	const struct ch_habit *habit = habit_of(clickhouse, query);
	const char *trace = query->trace_id ? query->trace_id : "tally";
	char query_id[96];
	const struct ch_asking asking = {
		.settings = &clickhouse->settings,
		.statement = query->statement,
		.arguments = query->arguments,
		.is_describe = source_is_description(query),
		.query_id = query_id,
		.timeout_ms = timeout_ms(clickhouse, query),
		.is_compressed =
		    habit->statement_id == query->statement->id && habit->n_bytes >= LARGE_BYTES,
	};

	/* Of one trace there are many queries, and of one id only one may run. */
	(void)snprintf(query_id, sizeof query_id, "%.32s-%016" PRIx64 "-%" PRIu64, trace,
		       clickhouse->instance, clickhouse->n_sent++);
	return ch_exchange_begin(&slot->exchange, &asking, query->budget_bytes, err);
}

static void
start(struct ch_slot *slot, struct source_query *query)
{
	struct clickhouse *clickhouse = slot->clickhouse;
	struct source_outcome outcome = { .status = TALLY_OK };

	int64_t until_ms = source_wait_until_ms(query, clickhouse->query_timeout_ms);

	if (loop_timer_set(clickhouse->loop, &slot->deadline, until_ms) != TALLY_OK)
		outcome.status = tally_fail(&outcome.err, TALLY_NO_MEMORY, "out of memory");
	if (outcome.status == TALLY_OK)
		outcome.status = begin_exchange(slot, query, &outcome.err);
	if (outcome.status == TALLY_OK
	    && curl_loop_add(&clickhouse->curl, slot->exchange.easy) != TALLY_OK)
		outcome.status = tally_fail(&outcome.err, TALLY_NO_MEMORY, "out of memory");
	if (outcome.status == TALLY_OK) {
		slot->query = query;
		query->connection = slot;
		return;
	}
	loop_timer_clear(clickhouse->loop, &slot->deadline);
	ch_exchange_drop(&slot->exchange);
	source_deliver(&clickhouse->source, query, &outcome);
}

/* Starts what can be started.  Not nested: what a done function adds, the loop below takes. */
static void
dispatch(struct clickhouse *clickhouse)
{
	if (clickhouse->is_dispatching || clickhouse->is_closing)
		return;
	clickhouse->is_dispatching = true;
	for (;;) {
		struct source_query *query = TAILQ_FIRST(&clickhouse->waiting);
		struct ch_slot *slot = query ? find_idle(clickhouse) : NULL;

		if (!slot)
			break;
		remove_waiting(clickhouse, query);
		start(slot, query);
	}
	clickhouse->is_dispatching = false;
}

/* ---- events of a transfer ---------------------------------------------------- */

/* Nobody answers: once more in a moment, while the query has patience. */
static bool
try_again(struct ch_slot *slot, CURLcode code)
{
	struct clickhouse *clickhouse = slot->clickhouse;
	int64_t at_ms = clock_mono_ms() + AGAIN_MS;

	(void)snprintf(clickhouse->reason, sizeof clickhouse->reason, "%.255s",
		       curl_easy_strerror(code));
	if (clickhouse->down_since_ms == 0)
		clickhouse->down_since_ms = slot->exchange.sent_us / 1000;
	renew_patience(clickhouse);
	return at_ms < gives_up_at_ms(clickhouse, slot->query)
	       && loop_timer_set(clickhouse->loop, &slot->again, at_ms) == TALLY_OK;
}

static void
fail_unreachable(struct ch_slot *slot, tally_status status)
{
	struct clickhouse *clickhouse = slot->clickhouse;
	struct source_outcome outcome = { .status = status };
	char what[sizeof clickhouse->reason + 32];

	write_unreachable(clickhouse, what, sizeof what);
	(void)tally_fail(&outcome.err, status, "%s %s", clickhouse->name, what);
	ch_exchange_drop(&slot->exchange);
	end_query(slot, &outcome);
}

static void
on_again(void *ctx)
{
	struct ch_slot *slot = ctx;

	if (curl_loop_add(&slot->clickhouse->curl, slot->exchange.easy) != TALLY_OK)
		fail_unreachable(slot, TALLY_NO_MEMORY);
}

/* Counts connections that a slot had to open again. */
static void
count_connects(struct ch_slot *slot)
{
	long n = 0;

	(void)curl_easy_getinfo(slot->exchange.easy, CURLINFO_NUM_CONNECTS, &n);
	if (n > 0 && slot->was_up)
		slot->clickhouse->source.stats.reconnects += (uint64_t)n;
	slot->was_up = true;
}

static void
on_transferred(void *ctx, CURL *easy, CURLcode code)
{
	struct clickhouse *clickhouse = ctx;
	struct source_outcome outcome;
	struct ch_slot *slot;
	char *private = NULL;

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
	slot = (struct ch_slot *)(void *)private;
	if (ch_exchange_is_unsent(code)) {
		if (!try_again(slot, code))
			fail_unreachable(slot, TALLY_SOURCE_UNAVAILABLE);
		return;
	}
	clickhouse->down_since_ms = 0;
	count_connects(slot);
	*habit_of(clickhouse, slot->query) =
	    (struct ch_habit){ slot->query->statement->id, slot->exchange.n_bytes };
	ch_exchange_end(&slot->exchange, code, &outcome);
	end_query(slot, &outcome);
}

static void
on_deadline(void *ctx)
{
	struct ch_slot *slot = ctx;
	const char *what;

	if (slot->again.slot != 0) {
		fail_unreachable(slot, TALLY_SOURCE_UNAVAILABLE);
		return;
	}
	tally_status status = source_late_status(slot->query, &what);
	abort_query(slot, status, what);
}

static curl_socket_t
on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct clickhouse *clickhouse = ctx;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void)purpose;
	clickhouse->source.stats.connected += fd >= 0;
	return fd;
}

static int
on_close_socket(void *ctx, curl_socket_t fd)
{
	struct clickhouse *clickhouse = ctx;

	clickhouse->source.stats.connected--;
	return close(fd);
}

/* ---- the pool ---------------------------------------------------------------- */

bool
ch_pool_has_idle(struct clickhouse *clickhouse)
{
	return find_idle(clickhouse) != NULL;
}

void
ch_pool_take(struct clickhouse *clickhouse, struct source_query *query)
{
	TAILQ_INSERT_TAIL(&clickhouse->waiting, query, link);
	clickhouse->source.stats.waiting = ++clickhouse->n_waiting;
	be_patient_until(clickhouse, gives_up_at_ms(clickhouse, query));
	dispatch(clickhouse);
}

void
ch_pool_abort(struct clickhouse *clickhouse, struct source_query *query, tally_status status)
{
	if (query->connection) {
		abort_query(query->connection, status, "cancelled");
		return;
	}
	remove_waiting(clickhouse, query);
	source_refuse(&clickhouse->source, query, status, "was not asked: cancelled");
}

static tally_status
open_slot(struct clickhouse *clickhouse, struct ch_slot *slot)
{
	CURL *easy;

	slot->clickhouse = clickhouse;
	slot->deadline = (struct loop_timer){ .on_time = on_deadline, .ctx = slot };
	slot->again = (struct loop_timer){ .on_time = on_again, .ctx = slot };
	if (ch_exchange_init(&slot->exchange, &clickhouse->settings, slot) != TALLY_OK)
		return TALLY_NO_MEMORY;
	easy = slot->exchange.easy;
	if (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) != CURLE_OK
	    || curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, clickhouse) != CURLE_OK
	    || curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket) != CURLE_OK
	    || curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, clickhouse) != CURLE_OK)
		return TALLY_NO_MEMORY;
	return TALLY_OK;
}

tally_status
ch_pool_init(struct clickhouse *clickhouse)
{
	tally_status status = curl_loop_init(&clickhouse->curl, clickhouse->loop,
					     clickhouse->n_slots, on_transferred, clickhouse);

	for (size_t i = 0; i < clickhouse->n_slots && status == TALLY_OK; i++)
		status = open_slot(clickhouse, &clickhouse->slots[i]);
	return status;
}

void
ch_pool_fini(struct clickhouse *clickhouse)
{
	for (size_t i = 0; i < clickhouse->n_slots; i++) {
		if (clickhouse->slots[i].query)
			ch_pool_abort(clickhouse, clickhouse->slots[i].query, TALLY_CANCELLED);
	}
	while (!TAILQ_EMPTY(&clickhouse->waiting))
		ch_pool_abort(clickhouse, TAILQ_FIRST(&clickhouse->waiting), TALLY_CANCELLED);
	for (size_t i = 0; i < clickhouse->n_slots; i++)
		ch_exchange_fini(&clickhouse->slots[i].exchange);
	curl_loop_fini(&clickhouse->curl);
	loop_timer_clear(clickhouse->loop, &clickhouse->patience);
}
