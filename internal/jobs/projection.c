#define HASH_NONFATAL_OOM 1
#include "jobs/projection_inner.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS_BYTES ((size_t)256 << 20)
#define TEXTS_KEEP  ((size_t)4 << 20)
#define DAY_MS      INT64_C(86400000)

struct projection *
projection_new(void)
{
	struct projection *projection = calloc(1, sizeof *projection);

	if (!projection)
		return NULL;
	projection->texts = BUF_INIT(TEXTS_BYTES);
	projection->changes = calloc(PROJECTION_MAX, sizeof *projection->changes);
	projection->bodies = calloc(PROJECTION_MAX, sizeof *projection->bodies);
	projection->keys = calloc(PROJECTION_MAX, sizeof *projection->keys);
	projection->progress = calloc(PROJECTION_PROGRESS, sizeof *projection->progress);
	if (!projection->changes || !projection->bodies || !projection->keys
	    || !projection->progress) {
		projection_free(projection);
		return NULL;
	}
	return projection;
}

void
projection_free(struct projection *projection)
{
	if (!projection)
		return;
	projection_reset(projection);
	buf_fini(&projection->texts);
	free(projection->changes);
	free(projection->bodies);
	free(projection->keys);
	free(projection->progress);
	free(projection);
}

void
projection_reset(struct projection *projection)
{
	HASH_CLEAR(hh, projection->by_id);
	HASH_CLEAR(hh, projection->by_key);
	projection->n_changes = 0;
	projection->n_bodies = 0;
	projection->n_keys = 0;
	projection->n_progress = 0;
	projection->texts.len = 0;
	if (projection->texts.cap > TEXTS_KEEP)
		buf_fini(&projection->texts);
}

const char *
projection_text(const struct projection *projection, const struct projection_text *text)
{
	return text->is_set ? projection->texts.data + text->at : NULL;
}

int32_t
projection_day(int64_t unix_ms)
{
	return (int32_t)(unix_ms / DAY_MS);
}

bool
projection_has_day(const struct projection_days *days, int32_t day)
{
	return day >= days->first && day - days->first < 64
	       && (days->mask >> (day - days->first) & 1) != 0;
}

/* ---- what the topics' files share -------------------------------------------- */

enum projection_outcome
projection_refuse(const struct projecting *on, const char *why)
{
	(void)tally_fail(on->err, TALLY_BAD_REQUEST, "%s", why);
	return PROJECTION_REFUSED;
}

enum projection_outcome
projection_check(const struct projecting *on, const struct projection_owner *owner)
{
	const struct projection_days *days = &on->rules->days;
	struct tally_job_id_parts parts;
	struct tally_job_id id;
	int32_t day = projection_day(owner->created_ms);

	if (tally_job_id_parse(owner->id->text, strlen(owner->id->text), &id, &parts) != TALLY_OK)
		return projection_refuse(on, "not a job id");
	if (!parts.is_foreign && !tally_job_id_is_genuine(&id, on->rules->secrets, owner->tenant))
		return projection_refuse(on, "the job id is not genuine");
	if (!parts.is_foreign && on->message->topic == PROJECTION_RESULTS
	    && parts.partition != on->message->partition)
		return projection_refuse(on, "not the partition that is in the job id");
	if (day > days->last)
		return projection_refuse(on, "the job is of a day to come: a wrong clock?");
	return projection_has_day(days, day) ? PROJECTION_DONE : PROJECTION_SKIPPED;
}

enum projection_outcome
projection_change_of(const struct projecting *on, const struct projection_owner *owner,
		     struct projection_change **out_change)
{
	struct projection *projection = on->projection;
	struct projection_change *change;

	HASH_FIND(hh, projection->by_id, owner->id->text, TALLY_JOB_ID_CHARS, change);
	if (change) {
		*out_change = change;
		return change->created_ms == owner->created_ms ? PROJECTION_DONE : PROJECTION_FLUSH;
	}
	if (projection->n_changes == PROJECTION_MAX)
		return PROJECTION_FLUSH;
	change = &projection->changes[projection->n_changes];
	*change = (struct projection_change){
		.id = *owner->id,
		.is_foreign = owner->id->text[0] == 'x',
		.created_ms = owner->created_ms,
		.deadline_ms = owner->deadline_ms,
		.partition = -1,
	};
	memcpy(change->tenant, owner->tenant, strlen(owner->tenant) + 1);
	HASH_ADD(hh, projection->by_id, id.text, TALLY_JOB_ID_CHARS, change);
	if (!change->hh.tbl)
		return PROJECTION_NO_MEMORY;
	projection->n_changes++;
	*out_change = change;
	return PROJECTION_DONE;
}

bool
projection_keep(const struct projecting *on, const void *data, size_t len,
		struct projection_text *out_text)
{
	struct buf *texts = &on->projection->texts;
	const struct projection_text text = { texts->len, len, true };

	if (buf_append(texts, data, len) != TALLY_OK)
		return false;
	*out_text = text;
	return true;
}

/* ---- any message ------------------------------------------------------------- */

static struct projection_progress *
progress_of(struct projection *projection, const struct projection_message *message)
{
	for (size_t i = 0; i < projection->n_progress; i++) {
		struct projection_progress *progress = &projection->progress[i];

		if (progress->topic == message->topic && progress->partition == message->partition)
			return progress;
	}
	return NULL;
}

/* A message that is refused or skipped has been read too. */
static void
note_progress(struct projection *projection, struct projection_progress *progress,
	      const struct projection_message *message)
{
	if (message->topic == PROJECTION_CONTROL)
		return;
	if (!progress) {
		progress = &projection->progress[projection->n_progress++];
		*progress =
		    (struct projection_progress){ message->topic, message->partition, 0, 0 };
	}
	if (message->offset >= progress->next_offset)
		progress->next_offset = message->offset + 1;
	if (message->stamp_ms > progress->stamp_ms)
		progress->stamp_ms = message->stamp_ms;
}

enum projection_outcome
projection_add(struct projection *projection, const struct projection_rules *rules,
	       const struct projection_message *message, struct tally_error *err)
{
	static enum projection_outcome (*const add[])(const struct projecting *) = {
		[PROJECTION_REQUESTS] = projection_add_request,
		[PROJECTION_RESULTS] = projection_add_result,
		[PROJECTION_CONTROL] = projection_add_control,
	};
	const struct projecting on = { projection, rules, message, err };
	struct projection_progress *progress = progress_of(projection, message);
	enum projection_outcome outcome;

	if (!progress && projection->n_progress == PROJECTION_PROGRESS)
		return PROJECTION_FLUSH;
	outcome = message->stamp_ms < 0
		      ? projection_refuse(&on, "the broker has put no time on the message")
		      : add[message->topic](&on);
	if (outcome != PROJECTION_FLUSH && outcome != PROJECTION_NO_MEMORY)
		note_progress(projection, progress, message);
	return outcome;
}
