/* message.h - the headers of messages, read and written with every limit checked.
 *
 * A message is a value (a request, or a REST body) and headers.  Both lanes' headers are plain
 * structs here.  Unknown headers are ignored, as Kafka's users expect; a known one that is wrong or
 * comes twice makes the message unreadable.  Nothing is allocated.  Any thread. */
#ifndef TALLY_MESSAGE_H
#define TALLY_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/id.h>
#include <tally/status.h>
#include <tally/topics.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_SOURCES_MAX     16
#define TALLY_SOURCE_NAME_MAX 31
#define TALLY_TIMING_MAX      255
#define TALLY_BUDGET_MAX_MS   (12 * 3600 * 1000)
#define TALLY_HEADERS_MAX     40
#define TALLY_HEADERS_STORAGE 4096
#define TALLY_PARTITION_MAX   65535

/* A header as it stands in a message; borrowed. */
struct tally_header {
	const char *name; /* terminated */
	const void *value;
	size_t len;
};

/* Headers to be written, with storage of their own. */
struct tally_headers {
	struct tally_header items[TALLY_HEADERS_MAX];
	size_t n;
	char storage[TALLY_HEADERS_STORAGE];
	size_t used;
	bool is_full; /* something did not fit: the set must not be sent */
};

/* The end of a request: what its result says. */
enum tally_state { TALLY_SUCCEEDED, TALLY_FAILED, TALLY_STATE_CANCELLED };

/* The name in the header tally-state; a static string. */
const char *tally_state_name(enum tally_state state);

/* A request of the sync lane. */
struct tally_sync_request {
	struct tally_request_id id;
	int32_t reply_partition;
	uint32_t budget_ms; /* how long the caller waits, from the broker's stamp on */
	char tenant[TALLY_TENANT_MAX + 1];
	bool no_cache;
	struct tally_trace trace;
};

/* When a source was read: the earliest of its rows, Unix ms. */
struct tally_as_of {
	char source[TALLY_SOURCE_NAME_MAX + 1];
	int64_t at_ms;
};

/* A reply of the sync lane; its key is the request's id. */
struct tally_sync_reply {
	struct tally_request_id id; /* from the key; not a header */
	enum tally_state state;
	uint64_t run;            /* random: one for each execution */
	tally_status error_code; /* TALLY_OK when succeeded */
	struct tally_as_of as_of[TALLY_SOURCES_MAX];
	size_t n_as_of;
	char timing[TALLY_TIMING_MAX + 1]; /* of Server-Timing; may be empty */
};

/* Writes the headers of a request.  TALLY_TOO_LARGE never happens for valid fields. */
TALLY_MUST_CHECK tally_status tally_sync_request_write(const struct tally_sync_request *request,
						       struct tally_headers *out_headers);

/* Reads the headers of a request.  TALLY_BAD_REQUEST names the header that is wrong. */
TALLY_MUST_CHECK tally_status tally_sync_request_read(const struct tally_header *headers, size_t n,
						      struct tally_sync_request *out_request,
						      struct tally_error *err);

/* Writes the headers of a reply. */
TALLY_MUST_CHECK tally_status tally_sync_reply_write(const struct tally_sync_reply *reply,
						     struct tally_headers *out_headers);

/* Reads key and headers of a reply.  TALLY_BAD_REQUEST names what is wrong. */
TALLY_MUST_CHECK tally_status tally_sync_reply_read(const void *key, size_t key_len,
						    const struct tally_header *headers, size_t n,
						    struct tally_sync_reply *out_reply,
						    struct tally_error *err);

/* Adds a text header with storage of the set; too many or too long ones set is_full. */
void tally_headers_add(struct tally_headers *headers, const char *name, const char *value);

/* Writes an error document: {"code","title","detail","retryable","source"} into buf, as the value
 * of a failed result; *out_len is the length needed.  TALLY_TOO_LARGE when cap is less. */
TALLY_MUST_CHECK tally_status tally_error_encode(const struct tally_error *error, char *buf,
						 size_t cap, size_t *out_len);

/* Reads an error document.  TALLY_BAD_REQUEST when it is none. */
TALLY_MUST_CHECK tally_status tally_error_decode(const void *data, size_t len,
						 struct tally_error *out_error);

#ifdef __cplusplus
}
#endif

#endif
