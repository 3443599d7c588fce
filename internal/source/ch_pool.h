/* ch_pool.h - inside the folder only: the easy handles of a ClickHouse source, what runs on them,
 * and what waits for one. clickhouse.h says how they behave. The loop's thread. */
#ifndef SOURCE_CH_POOL_H
#define SOURCE_CH_POOL_H

#include "source/ch_exchange.h"
#include "source/curl_loop.h"
#include "source/source.h"

#define CH_HABITS 64

struct clickhouse;

/* An easy handle and what runs on it. */
struct ch_slot {
	struct clickhouse *clickhouse;
	struct source_query *query; /* NULL: nothing */
	struct ch_exchange exchange;
	struct loop_timer deadline; /* of the query */
	struct loop_timer again;    /* set: nobody answered, and it is not on the loop */
	bool was_up;
};

/* How large the last answer to a statement was. */
struct ch_habit {
	uint64_t statement_id;
	size_t n_bytes;
};

struct clickhouse {
	struct source source; /* first */
	char *name;
	struct loop *loop;
	struct curl_loop curl;
	struct ch_settings settings;
	int query_timeout_ms;
	size_t queue_max;
	struct source_query_list waiting;
	size_t n_waiting;
	struct loop_timer patience; /* the first moment at which a waiting query may give up */
	int64_t down_since_ms;      /* when nobody answered first; 0: somebody does */
	char reason[256];           /* why nobody did */
	struct ch_habit habits[CH_HABITS];
	uint64_t instance; /* of query ids */
	uint64_t n_sent;
	bool is_dispatching;
	bool is_closing;
	size_t n_slots;
	struct ch_slot slots[];
};

/* Takes a query that may run: at once, or when a slot is free. */
void ch_pool_take(struct clickhouse *clickhouse, struct source_query *query);

/* Whether a slot is free. */
bool ch_pool_has_idle(struct clickhouse *clickhouse);

/* Ends a query with this status, one that runs with its connection. */
void ch_pool_abort(struct clickhouse *clickhouse, struct source_query *query, tally_status status);

/* The first moment at which a waiting query may give up has come; of the timer patience. */
void ch_pool_on_patience(void *ctx);

/* Makes the slots and curl's loop.  TALLY_NO_MEMORY; fini also on failure. */
TALLY_MUST_CHECK tally_status ch_pool_init(struct clickhouse *clickhouse);

/* Ends everything with TALLY_CANCELLED and closes the connections.  Accepts a zeroed pool. */
void ch_pool_fini(struct clickhouse *clickhouse);

#endif
