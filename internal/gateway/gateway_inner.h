/* gateway_inner.h - a gateway, for the files that make it up: gateway.c (life), routes.c (what a
 * path means), ask.c (a request for rows), answer.c (its answer), replies.c (what comes back). */
#ifndef GATEWAY_GATEWAY_INNER_H
#define GATEWAY_GATEWAY_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include <tally/message.h>

#include "base/metrics.h"
#include "dataset/params.h"
#include "dataset/transcode.h"
#include "gateway/flights.h"
#include "gateway/gateway.h"
#include "http/server.h"
#include "kafka/producer.h"
#include "kafka/reader.h"

#define GATEWAY_TENANT "default"

struct gateway_metrics {
	struct metric *requests;
	struct metric_series *seconds;
	struct metric_series *coalesced;
	struct metric_series *late;
};

struct gateway {
	struct gateway_options options;
	struct http_server *server;
	struct flights *flights;
	struct kafka_producer *producer;
	_Atomic(struct kafka_reader *) reader; /* NULL until the broker was met */
	_Atomic int32_t reply_partition;       /* -1: not known yet */
	pthread_t starter;
	pthread_t deadlines;
	bool has_starter;
	bool has_deadlines;
	atomic_bool is_ready;
	atomic_bool is_stopping;
	atomic_int n_joining; /* requests between joining their flight and being published */
	pthread_mutex_t lock; /* only for changed */
	pthread_cond_t changed;
	struct gateway_metrics metrics;
};

/* A caller of rows: from its request to its answer. */
struct caller {
	struct waiter waiter; /* first: a waiter is its caller */
	struct gateway *gateway;
	struct http_request *request;
	const struct definition *definition;
	struct params *params;
	enum transcode_format format;
	bool csv_safe;
	bool no_cache;
	bool has_preference; /* Prefer: wait was given */
	struct tally_trace trace;
	unsigned char fingerprint[FLIGHTS_KEY_BYTES];
	char key[33]; /* the fingerprint in hex */
};

/* ---- routes.c ---- */

/* Handles one HTTP request; on a server thread. */
void gateway_on_request(void *ctx, struct http_request *request);

/* Whether requests for rows can be answered. */
bool gateway_is_ready(struct gateway *gateway);

/* ---- ask.c ---- */

/* Takes a request for the rows of a dataset. */
void gateway_ask(struct gateway *gateway, struct http_request *request,
		 const struct definition *definition);

/* Publishes a caller's request again, under a new id, for all who were taken from its flight;
 * answers them when that fails. */
void gateway_ask_again(struct gateway *gateway, struct flight_taken *taken);

/* The trace of a request: taken over from its header, or begun.  TALLY_INTERNAL_ERROR: without
 * randomness none can begin. */
TALLY_MUST_CHECK tally_status gateway_read_trace(const struct http_request *request,
						 struct tally_trace *out_trace);

/* ---- answer.c ---- */

/* A result that several callers share. */
struct shared_body;

/* A body over a reply's message, which it takes, with one reference; NULL when out of memory (the
 * message is freed). */
struct shared_body *shared_body_new(struct kafka_message *message);

/* Lets go of one reference. */
void shared_body_drop(struct shared_body *body);

/* Answers a caller with rows and frees it. */
void answer_rows(struct caller *caller, struct shared_body *body, const char *timing);

/* Answers a caller with an error and frees it; faults may be NULL. */
void answer_error(struct caller *caller, const struct tally_error *error);

/* Answers a request that has no caller yet. */
void answer_problem(struct gateway *gateway, struct http_request *request,
		    const struct tally_error *error, const struct params_faults *faults);

/* Answers every waiter of a list with an error. */
void answer_all(struct waiter_list *waiters, const struct tally_error *error);

/* ---- replies.c ---- */

/* A reply; on the reader's thread. */
void gateway_on_reply(void *ctx, struct kafka_message *message);

/* Answers callers as their deadlines come, until the gateway stops; a thread. */
void *gateway_run_deadlines(void *ctx);

#endif
