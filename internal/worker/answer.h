/* answer.h - what a request came to, rows or an error: shared by all who asked the same, and kept
 * until the broker has it for each of them. */
#ifndef WORKER_ANSWER_H
#define WORKER_ANSWER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/digest.h>
#include <tally/message.h>

/* Bytes of bodies that a lane keeps. */
struct answer_store {
	atomic_size_t held_bytes;
	void (*on_release)(void *ctx); /* after a body was freed; any thread */
	void *ctx;
};

/* Written on the loop's thread, then only read. */
struct answer {
	struct answer_store *store;
	atomic_uint n_owners;
	tally_status status; /* TALLY_OK: rows; else the body is an error document */
	uint64_t run;        /* 0: nothing ran */
	int64_t started_ms;  /* of the run, Unix; 0: nothing ran */
	uint64_t n_rows;
	struct tally_as_of as_of[TALLY_SOURCES_MAX];
	size_t n_as_of;
	char timing[TALLY_TIMING_MAX + 1]; /* steps and encode (timing.h) */
	char *body;                        /* NULL only for an error, when memory was short */
	size_t len;
	bool has_sha256;
	unsigned char sha256[TALLY_SHA256_BYTES];
};

/* An answer without a body, with one owner; NULL when out of memory.  The store outlives it. */
struct answer *answer_new(struct answer_store *store);

/* An answer whose body is the error's document.  NULL when out of memory. */
struct answer *answer_of_error(struct answer_store *store, const struct tally_error *error);

/* Gives it a body (malloc'ed, taken). */
void answer_set_body(struct answer *answer, char *body, size_t len);

/* Another owner of the same answer, which is returned. */
struct answer *answer_share(struct answer *answer);

/* One owner less; the last one frees it.  Any thread.  Accepts NULL. */
void answer_release(struct answer *answer);

#endif
