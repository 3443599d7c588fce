/* results.h - iterates over the results of all jobs, each once, as a consumer group.
 *
 * The rule (README, «Read results from another service»): the result with the lowest offset of an
 * id counts, an id is remembered until TALLY_SEEN_AFTER_MS after its deadline, parts are put
 * together and count at the offset of the last.  A restarted reader, or one that was given a
 * partition, first reads again what stands before the committed offset, as far back as lookback_ms:
 * that gives no results, but what it must remember.  The committed offset carries the stamp of its
 * message as metadata.
 *
 * At least once: a result that was not done when its reader died comes again, at the same offset.
 * Calls block, each with a limit; partitions being given out may add some seconds.  One thread at a
 * time. */
#ifndef TALLY_RESULTS_H
#define TALLY_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/answer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_SEEN_AFTER_MS       (10 * 60 * 1000)
#define TALLY_RESULTS_LOOKBACK_MS (TALLY_JOB_DEADLINE_MS + TALLY_SEEN_AFTER_MS)
#define TALLY_RESULTS_BYTES       (64 * 1024 * 1024)
#define TALLY_RESULTS_IDS         250000

struct tally_results;

struct tally_results_settings {
	struct tally_kafka kafka;
	const char *group;   /* of consumers: each of its readers has a share of the results */
	bool is_from_end;    /* a new group begins at the end; else with the oldest result */
	size_t max_bytes;    /* of bodies whose parts are still coming; 0: TALLY_RESULTS_BYTES */
	size_t max_ids;      /* remembered in a partition; past it those whose deadline is next are
	                      * forgotten; 0: TALLY_RESULTS_IDS */
	int64_t lookback_ms; /* the longest deadline of a job and TALLY_SEEN_AFTER_MS; 0:
	                      * TALLY_RESULTS_LOOKBACK_MS */
};

/* Joins the group; the caller closes.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tally_results_open(const struct tally_results_settings *settings,
						 struct tally_results **out_results,
						 struct tally_error *err);

/* Commits what is done, leaves the group and frees.  Accepts NULL. */
void tally_results_close(struct tally_results *results);

/* Waits at most timeout_ms for the next result.  TALLY_OK: *out_answer is the caller's
 * (tally_answer_fini); its body is NULL when its parts were past max_bytes.
 * TALLY_RESULT_NOT_READY: none came; err may say what is wrong meanwhile.  TALLY_NOT_FOUND: there
 * is no topic; TALLY_KAFKA_UNAVAILABLE: the last offsets could not be read, TALLY_FORBIDDEN: Kafka
 * refuses; in both cases call it again.  TALLY_NO_MEMORY: only close is left; nothing is lost.
 * Call it at least every five minutes (librdkafka's max.poll.interval.ms), or the partitions go to
 * another reader. */
TALLY_MUST_CHECK tally_status tally_results_next(struct tally_results *results, int timeout_ms,
						 struct tally_answer *out_answer,
						 struct tally_error *err);

/* Says that this result, and all before it in its partition, are done with: they do not come again.
 * Committed within a second as long as next or done are called, and by close.  TALLY_CLOSED: the
 * partition is another reader's by now, and there it comes again. */
TALLY_MUST_CHECK tally_status tally_results_done(struct tally_results *results,
						 const struct tally_answer *answer);

/* Commits what is done, and waits for it.  TALLY_KAFKA_UNAVAILABLE. */
TALLY_MUST_CHECK tally_status tally_results_commit(struct tally_results *results,
						   struct tally_error *err);

#ifdef __cplusplus
}
#endif

#endif
