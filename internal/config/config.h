/* config.h - every setting, in one table: it makes the struct, the parser, the ranges, --help and
 * the README's page.
 *
 * Sources of a value, the later wins: default, --config FILE (KEY=VALUE lines, # comments),
 * environment, flags (TALLY_WAIT_MAX_MS is --wait-max-ms).  TALLY_X_FILE names a file that holds
 * the value of a text X: for secrets.  Environment variables that are not in the table are left
 * alone (orchestrators set some that begin with TALLY_); in a file and as flags they are errors. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tally/status.h>

/* Who reads a setting. */
#define CONFIG_GATEWAY 1u
#define CONFIG_WORKER  2u
#define CONFIG_CLI     4u
#define CONFIG_BOTH    (CONFIG_GATEWAY | CONFIG_WORKER)
#define CONFIG_ALL     (CONFIG_BOTH | CONFIG_CLI)

/* X(field, NAME after TALLY_, default, readers, what) */
#define CONFIG_TEXTS(X)                                                                            \
	X(listen, "LISTEN", "127.0.0.1:8080", CONFIG_GATEWAY, "address and port of the HTTP API")  \
	X(kafka, "KAFKA", "", CONFIG_ALL, "bootstrap servers, host:port[,host:port]; required")    \
	X(datasets, "DATASETS", "deploy/datasets", CONFIG_ALL, "folder of the dataset files")      \
	X(migrations, "MIGRATIONS", "migrations", CONFIG_CLI, "folder of the migrations")          \
	X(instance, "INSTANCE", "", CONFIG_BOTH, "name of this process; default: host and pid")    \
	X(metrics_listen, "METRICS_LISTEN", "", CONFIG_WORKER,                                     \
	  "address and port of the worker's /metrics, /livez, /readyz; empty: none")               \
	X(jobs, "JOBS", "", CONFIG_GATEWAY | CONFIG_CLI,                                           \
	  "URL of the job store, postgresql://...; empty: there are no jobs here")                 \
	X(job_secret, "JOB_SECRET", "", CONFIG_GATEWAY | CONFIG_CLI,                               \
	  "signs job ids, 32 characters at least, the same at all gateways; NEW,OLD to change it") \
	X(api_keys, "API_KEYS", "", CONFIG_GATEWAY,                                                \
	  "file of keys, tenants and limits (tally keys); read again on SIGHUP")                   \
	X(api_key, "API_KEY", "", CONFIG_CLI, "the caller's key, for a gateway that asks for one") \
	X(log_level, "LOG_LEVEL", "info", CONFIG_ALL, "debug, info, warn or error")                \
	X(log_format, "LOG_FORMAT", "logfmt", CONFIG_ALL, "logfmt or json")

#define CONFIG_MIB INT64_C(1048576)

/* X(field, NAME after TALLY_, default, min, max, readers, what) */
#define CONFIG_NUMBERS(X)                                                                          \
	X(open, "OPEN", 0, 0, 1, CONFIG_GATEWAY, "1: listen beyond loopback without API keys")     \
	X(http_threads, "HTTP_THREADS", 1, 1, 64, CONFIG_GATEWAY, "threads that serve HTTP")       \
	X(http_connections, "HTTP_CONNECTIONS", 4096, 16, 100000, CONFIG_GATEWAY,                  \
	  "connections at once")                                                                   \
	X(waiters_max, "WAITERS_MAX", 2000, 1, 100000, CONFIG_GATEWAY,                             \
	  "callers that may wait at once; past it 503")                                            \
	X(wait_default_ms, "WAIT_DEFAULT_MS", 10000, 1000, 30000, CONFIG_GATEWAY,                  \
	  "how long a caller waits without Prefer: wait")                                          \
	X(wait_max_ms, "WAIT_MAX_MS", 30000, 1000, 30000, CONFIG_GATEWAY, "the longest wait")      \
	X(queue_wait_max_ms, "QUEUE_WAIT_MAX_MS", 1000, 10, 30000, CONFIG_GATEWAY,                 \
	  "predicted wait for a worker past which requests for rows get 503")                      \
	X(request_timeout_ms, "REQUEST_TIMEOUT_MS", 10000, 100, 600000, CONFIG_GATEWAY,            \
	  "to send a whole request")                                                               \
	X(idle_timeout_ms, "IDLE_TIMEOUT_MS", 60000, 1000, 3600000, CONFIG_GATEWAY,                \
	  "of a connection without a request")                                                     \
	X(stall_timeout_ms, "STALL_TIMEOUT_MS", 30000, 100, 600000, CONFIG_GATEWAY,                \
	  "without progress of an answer")                                                         \
	X(body_max_bytes, "BODY_MAX_BYTES", 65536, 0, 1048576, CONFIG_GATEWAY, "of a request")     \
	X(target_max_bytes, "TARGET_MAX_BYTES", 8192, 256, 16384, CONFIG_GATEWAY,                  \
	  "path and query of a request")                                                           \
	X(reply_partition, "REPLY_PARTITION", -1, -1, 65535, CONFIG_GATEWAY,                       \
	  "partition of tally.replies to read; -1: by the instance's name")                        \
	X(drain_ms, "DRAIN_MS", 10000, 0, 600000, CONFIG_BOTH, "to finish after SIGTERM")          \
	X(watchdog_ms, "WATCHDOG_MS", 30000, 0, 3600000, CONFIG_BOTH,                              \
	  "a thread that works at one thing for longer ends the process; 0: it may")               \
	X(batch_max, "BATCH_MAX", 256, 1, 10000, CONFIG_WORKER, "requests of one batch")           \
	X(batch_bytes, "BATCH_BYTES", 32 * CONFIG_MIB, CONFIG_MIB, 4096 * CONFIG_MIB,              \
	  CONFIG_WORKER | CONFIG_CLI, "memory for the rows of one batch")                          \
	X(batches_in_flight, "BATCHES_IN_FLIGHT", 2, 1, 64, CONFIG_WORKER, "batches at once")      \
	X(result_max_bytes, "RESULT_MAX_BYTES", 8 * CONFIG_MIB, 1024, 15 * CONFIG_MIB,             \
	  CONFIG_WORKER | CONFIG_CLI, "of one answer")                                             \
	X(intake_max, "INTAKE_MAX", 20000, 1, 1000000, CONFIG_WORKER,                              \
	  "requests of a lane taken and not answered; past it no more are read")                   \
	X(source_connections, "SOURCE_CONNECTIONS", 4, 1, 64, CONFIG_WORKER | CONFIG_CLI,          \
	  "connections to each database; a worker has so many for each lane")                      \
	X(query_timeout_ms, "QUERY_TIMEOUT_MS", 10000, 10, 3600000, CONFIG_WORKER | CONFIG_CLI,    \
	  "of one query")                                                                          \
	X(results_partitions, "RESULTS_PARTITIONS", 12, 1, 65536, CONFIG_ALL,                      \
	  "partitions of tally.results; checked against the broker")                               \
	X(results_partition, "RESULTS_PARTITION", -1, -1, 65535, CONFIG_GATEWAY,                   \
	  "partition of tally.results to read; -1: by the instance's name")                        \
	X(job_deadline_ms, "JOB_DEADLINE_MS", 3600000, 1000, 43200000, CONFIG_GATEWAY,             \
	  "of a job without timeout_ms")                                                           \
	X(job_query_timeout_ms, "JOB_QUERY_TIMEOUT_MS", 300000, 10, 43200000, CONFIG_WORKER,       \
	  "of one query of a job")                                                                 \
	X(job_patience_ms, "JOB_PATIENCE_MS", 60000, 0, 43200000, CONFIG_WORKER,                   \
	  "that a job waits for a database that is away before it fails")                          \
	X(job_result_max_bytes, "JOB_RESULT_MAX_BYTES", 64 * CONFIG_MIB, 1024, 1024 * CONFIG_MIB,  \
	  CONFIG_WORKER,                                                                           \
	  "of one job's result; a batch of jobs may take four times that for its rows")            \
	X(part_bytes, "PART_BYTES", 786432, 1024, 15 * CONFIG_MIB, CONFIG_WORKER,                  \
	  "of one message of a result in parts")                                                   \
	X(results_bytes, "RESULTS_BYTES", 128 * CONFIG_MIB, CONFIG_MIB, 65536 * CONFIG_MIB,        \
	  CONFIG_GATEWAY, "memory for results of jobs on their way to callers; past it 503")       \
	X(jobs_connections, "JOBS_CONNECTIONS", 3, 1, 64, CONFIG_GATEWAY,                          \
	  "connections to the job store")                                                          \
	X(jobs_timeout_ms, "JOBS_TIMEOUT_MS", 5000, 100, 600000, CONFIG_GATEWAY | CONFIG_CLI,      \
	  "of one question to the job store")

#define CONFIG_MAX_PAIRS 64

/* A source and its URL, or a librdkafka property and its value. */
struct config_pair {
	char *name;
	char *value;
};

struct config {
#define CONFIG_TEXT_FIELD(field, ...) char *field;
	CONFIG_TEXTS(CONFIG_TEXT_FIELD)
#undef CONFIG_TEXT_FIELD
#define CONFIG_NUMBER_FIELD(field, ...) int64_t field;
	CONFIG_NUMBERS(CONFIG_NUMBER_FIELD)
#undef CONFIG_NUMBER_FIELD
	struct config_pair sources[CONFIG_MAX_PAIRS]; /* "db1", URL: TALLY_SOURCE_DB1 */
	size_t n_sources;
	struct config_pair properties[CONFIG_MAX_PAIRS]; /* TALLY_KAFKA_FETCH_WAIT_MAX_MS */
	size_t n_properties;
	bool wants_help;
	bool wants_version;
	char **words; /* of argv that are no settings; the array is owned, the words are argv's */
	size_t n_words;
};

/* Reads all settings for one program (CONFIG_GATEWAY ...).  The caller frees the result.  With
 * keep_flags unknown flags are left among words.  TALLY_WRONG_SETTING names the setting, where it
 * was given, and what is allowed; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status config_load(unsigned program, int argc, char **argv, bool keep_flags,
					  struct config **out_config, struct tally_error *err);

/* Frees the settings.  Accepts NULL. */
void config_free(struct config *config);

/* The URL of a source by name, or NULL; borrowed. */
const char *config_source(const struct config *config, const char *name);

/* Prints the settings of a program for --help. */
void config_help(unsigned program, FILE *out);

/* Prints the whole table in Markdown, as it stands in the README. */
void config_markdown(FILE *out);

#endif
