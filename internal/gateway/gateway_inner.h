/* gateway_inner.h - a gateway, for the files that make it up: gateway.c (life), routes.c (what a
 * path means), topics.c (which topics there are), info.c (what it says of itself), ask.c (a request
 * for rows), answer.c (its answer), replies.c (what comes back), gateway_metrics.c; jobs_inner.h
 * has the files about jobs. */
#ifndef GATEWAY_GATEWAY_INNER_H
#define GATEWAY_GATEWAY_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include <tally/message.h>

#include "base/metrics.h"
#include "dataset/params.h"
#include "gateway/admission.h"
#include "gateway/exchange.h"
#include "gateway/flights.h"
#include "gateway/form.h"
#include "gateway/gateway.h"
#include "gateway/jobs.h"
#include "gateway/tenants.h"
#include "http/server.h"
#include "kafka/producer.h"
#include "kafka/reader.h"

struct gateway_metrics {
	struct metric *requests;
	struct metric_series *seconds;
	struct metric_series *coalesced;
	struct metric_series *late;
	struct metric_series *refused;
};

struct gateway {
	struct gateway_options options;
	struct tenants *tenants;
	struct http_server *server;
	struct watchdog *watchdog; /* of its threads */
	struct flights *flights;
	struct admission admission;
	struct gateway_jobs *jobs; /* NULL: there are none here */
	struct job_events *events;
	struct kafka_producer *producer;
	_Atomic(struct kafka_reader *) reader; /* NULL until the broker was met */
	_Atomic int32_t reply_partition;       /* -1: not known yet */
	_Atomic int32_t n_request_partitions;  /* 0: not known yet */
	pthread_t starter;
	pthread_t deadlines;
	bool has_starter;
	bool has_deadlines;
	atomic_bool is_ready;
	_Atomic(const char *) missing_topic; /* that the gateway needs; NULL: none */
	atomic_bool is_stopping;
	atomic_int n_joining; /* requests between joining their flight and being published */
	pthread_mutex_t lock; /* only for changed */
	pthread_cond_t changed;
	struct gateway_metrics metrics;
};

/* A caller of rows: from its request to its answer. */
struct caller {
	struct waiter waiter; /* first: a waiter is its caller */
	struct exchange exchange;
	const struct definition *definition;
	struct params *params;
	struct form form;
	bool no_cache;
	bool has_preference;  /* Prefer: wait was given */
	int64_t published_us; /* clock_mono_us(), shortly before; of who began a flight */
	unsigned char fingerprint[FLIGHTS_KEY_BYTES];
	char key[33]; /* the fingerprint in hex */
};

/* ---- gateway.c ---- */

/* Spreads instances over partitions. */
uint32_t gateway_hash_name(const char *name);

/* ---- topics.c; on the starter's thread ---- */

/* How many partitions there are to be read. */
struct gateway_topics {
	int n_replies;
	int n_results;
};

/* Waits for so long, or until the gateway stops. */
void gateway_pause(struct gateway *gateway, int ms);

/* Asks until all topics are known, and how many partitions the replies and, with jobs, the results
 * have; false: the gateway stops. */
bool gateway_meet_topics(struct gateway *gateway, struct gateway_topics *out_topics);

/* Looks at the topics again and again, until the gateway stops: partitions that were added are
 * published to, and while a topic is missing /readyz says so. */
void gateway_keep_topics(struct gateway *gateway);

/* ---- gateway_metrics.c ---- */

/* Registers what the gateway counts, before anything starts; and what is read of its parts, once
 * they have been made. */
void gateway_add_metrics(struct gateway *gateway);

/* The counter of messages of a topic that are no answers, or forged. */
struct metric_series *gateway_refused_metric(const char *topic);
void gateway_add_callbacks(struct gateway *gateway);

/* ---- routes.c ---- */

/* Handles one HTTP request; on a server thread. */
void gateway_on_request(void *ctx, struct http_request *request);

/* ---- info.c ---- */

/* Whether requests for rows can be answered. */
bool gateway_is_ready(struct gateway *gateway);

/* Handlers of routes, of info.c and others. */
void gateway_get_livez(const struct exchange *exchange);
void gateway_get_readyz(const struct exchange *exchange);
void gateway_get_metrics(const struct exchange *exchange);
void gateway_get_datasets(const struct exchange *exchange);
void gateway_get_dataset(const struct exchange *exchange);
void gateway_get_rows(const struct exchange *exchange);
void gateway_get_job(const struct exchange *exchange);
void gateway_cancel_job(const struct exchange *exchange);
void gateway_get_result(const struct exchange *exchange);
void gateway_list_jobs(const struct exchange *exchange);
void gateway_get_openapi(const struct exchange *exchange);
void gateway_get_asyncapi(const struct exchange *exchange);
void gateway_get_docs(const struct exchange *exchange);
void gateway_get_docs_file(const struct exchange *exchange);

/* Says which datasets there are: 404. */
void gateway_answer_unknown(const struct exchange *exchange);

/* ---- submit.c ---- */

/* Handles POST /v1/jobs. */
void gateway_post_job(const struct exchange *exchange);

/* Takes a request for rows whose caller prefers a job (Prefer: respond-async); false: it does not,
 * or there are no jobs here, and the request is still to be answered. */
bool gateway_respond_async(const struct exchange *exchange, const struct definition *definition);

/* ---- ask.c ---- */

/* Takes a request for the rows of a dataset. */
void gateway_ask(const struct exchange *exchange, const struct definition *definition);

/* A request that will not arrive, or may not have; on the producer's thread. */
void gateway_on_lost(void *ctx, tally_status status, const struct kafka_message *message);

/* Publishes a caller's request again, under a new id, for all who were taken from its flight;
 * answers them when that fails. */
void gateway_ask_again(struct gateway *gateway, struct flight_taken *taken);

/* ---- answer.c ---- */

/* Counts an answer to a request for a dataset's rows ("": for something else). */
void gateway_count(const struct exchange *exchange, const char *dataset, tally_status outcome);

/* A result that several callers share. */
struct shared_body;

/* A body over a reply's message, which it takes, with one reference; NULL when out of memory (the
 * message is freed). */
struct shared_body *shared_body_new(struct kafka_message *message);

/* The same over other data, which release(ctx) lets go of; NULL when out of memory: nothing is
 * released. */
struct shared_body *
shared_body_make(const char *data, size_t len, http_free_fn *release, void *ctx);

/* Makes the rows the body of a response, with the headers that say what they are; the response gets
 * a reference of its own.  False: out of memory, and there is no body. */
bool shared_body_set(struct http_response *response, struct shared_body *body,
		     const struct definition *definition, const struct form *form);

/* Whether data may be the rows of an answer: it begins and ends as the encoder writes it.  A
 * message without them is none of ours. */
bool shared_body_is_rows(const char *data, size_t len);

/* Lets go of one reference. */
void shared_body_drop(struct shared_body *body);

/* Answers a caller with rows and frees it; timing is the worker's. */
void answer_rows(struct caller *caller, struct shared_body *body, const char *timing);

/* Answers a caller with an error and frees it. */
void answer_error(struct caller *caller, const struct tally_error *error);

/* The same without a line in the log, where there would be many and a metric counts them; retry_s
 * as exchange_set_problem has it. */
void answer_quietly(struct caller *caller, const struct tally_error *error, unsigned retry_s);

/* Answers every waiter of a list with an error. */
void answer_all(struct waiter_list *waiters, const struct tally_error *error);

/* ---- replies.c ---- */

/* A reply; on the reader's thread. */
void gateway_on_reply(void *ctx, struct kafka_message *message);

/* Answers callers as their deadlines come, until the gateway stops; a thread. */
void *gateway_run_deadlines(void *ctx);

#endif
