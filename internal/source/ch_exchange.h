/* ch_exchange.h - one query of ClickHouse from its request to its outcome, on one easy handle of
 * curl's: who moves the bytes, a loop or a blocking call, is not known here.
 *
 * An answer counts when all of this holds: status 200, no exception's code among the headers, none
 * written behind the rows, a body that HTTP says is whole, and rows that end where it does.  One
 * thread. */
#ifndef SOURCE_CH_EXCHANGE_H
#define SOURCE_CH_EXCHANGE_H

#include "source/ch_request.h"
#include "source/ch_rows.h"
#include "source/ending.h"

#define CH_TAIL_BYTES 4096

struct ch_exchange {
	CURL *easy;
	struct curl_slist *headers; /* this request's and those of the settings */
	const char *where;          /* of the statement; borrowed */
	bool is_describe;
	bool is_command;
	bool tells_all;
	struct ch_request request;
	struct ch_rows answer;
	size_t n_bytes;           /* of the body */
	char tail[CH_TAIL_BYTES]; /* the end of an answer, or the beginning of an error */
	size_t tail_len;
	int code;                   /* X-ClickHouse-Exception-Code; 0 */
	char tag[64];               /* X-ClickHouse-Exception-Tag; "" */
	struct tally_error failure; /* of reading the rows */
	int64_t sent_us;            /* clock_mono_us() */
	int64_t sent_at_ms;         /* Unix time */
};

/* Makes the easy handle, with ctx as its CURLOPT_PRIVATE.  The settings outlive it; the struct must
 * not move.  TALLY_NO_MEMORY; fini also on failure. */
TALLY_MUST_CHECK tally_status ch_exchange_init(struct ch_exchange *exchange,
					       const struct ch_settings *settings, void *ctx);

/* Frees the handle, which is off any loop, and what is left of an exchange. */
void ch_exchange_fini(struct ch_exchange *exchange);

/* Makes the handle ready for a query.  Statuses as ch_request_init. */
TALLY_MUST_CHECK tally_status ch_exchange_begin(struct ch_exchange *exchange,
						const struct ch_asking *asking, size_t budget_bytes,
						struct tally_error *err);

/* Judges a transfer that has ended with this code. */
void
ch_exchange_end(struct ch_exchange *exchange, CURLcode code, struct source_outcome *out_outcome);

/* Drops a transfer that was taken off the loop. */
void ch_exchange_drop(struct ch_exchange *exchange);

/* Whether a transfer ended before anything was sent, so that it may begin again. */
bool ch_exchange_is_unsent(CURLcode code);

#endif
