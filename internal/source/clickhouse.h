/* clickhouse.h - a ClickHouse database as a source, over HTTP and libcurl without ever waiting.
 *
 * So many connections, kept alive, each with one query in flight; further queries wait in order of
 * arrival, queue_max of them at most. Built of: ch_settings (URL, TLS, settings of a query),
 * ch_sql and ch_request (statement and parameters), ch_rows, ch_type and ch_value (columns and
 * values), ch_error (what a failure means), ch_exchange (a query from request to outcome),
 * curl_loop.
 *
 * A query that is cancelled, late or too large costs its connection, and the server ends it then
 * (cancel_http_readonly_queries_on_client_close). While nobody answers at the address a query
 * tries again for one second and then fails with TALLY_SOURCE_UNAVAILABLE; once it was sent it is
 * not sent again, but for the one case in which a kept connection turns out to be closed before
 * the first byte of an answer (libcurl's own; our queries only read). A value that Tally cannot
 * represent is VALUE_BAD in the rows, so that it fails only the requests that use it.
 *
 * An answer is compressed when the one before it to the same statement was large. */
#ifndef SOURCE_CLICKHOUSE_H
#define SOURCE_CLICKHOUSE_H

#include "source/options.h"
#include "source/source.h"

/* Opens a source; returns at once, connections open with the queries. The source's done functions
 * may start, cancel and describe, but not free it. TALLY_WRONG_SETTING: not a URL of ClickHouse,
 * no connections. TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status source_clickhouse_open(const struct source_options *options,
						     struct source **out_source,
						     struct tally_error *err);

#endif
