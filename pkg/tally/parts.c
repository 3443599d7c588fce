/* Runs stand in an array without order: there are few, and their parts are large.  A body grows by
 * exactly its parts, and its digest with it, so that the last part costs no more than another. */
#include <tally/parts.h>

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

struct run {
	struct tally_job_id id;
	uint64_t run;
	uint32_t n_parts;  /* that came */
	int64_t last_ms;   /* when the last of them did */
	bool is_too_large; /* its body was dropped; it stands here so that its parts are known */
	char *body;
	size_t len;
	EVP_MD_CTX *digest;
};

struct tally_parts {
	size_t max_bytes;
	size_t max_runs;
	size_t n_bytes;
	size_t n;
	struct run runs[];
};

struct tally_parts *
tally_parts_new(size_t max_bytes, size_t max_runs)
{
	struct tally_parts *parts;

	if (max_runs == 0 || max_runs > (SIZE_MAX - sizeof *parts) / sizeof *parts->runs)
		return NULL;
	/* Pages that are never touched cost nothing. */
	parts = calloc(1, sizeof *parts + max_runs * sizeof *parts->runs);
	if (!parts)
		return NULL;
	parts->max_bytes = max_bytes;
	parts->max_runs = max_runs;
	return parts;
}

static void
drop_body(struct tally_parts *parts, struct run *run)
{
	free(run->body);
	EVP_MD_CTX_free(run->digest);
	parts->n_bytes -= run->len;
	run->body = NULL;
	run->digest = NULL;
	run->len = 0;
}

/* The last run takes the place of this one. */
static void
drop_run(struct tally_parts *parts, struct run *run)
{
	drop_body(parts, run);
	*run = parts->runs[--parts->n];
}

void
tally_parts_free(struct tally_parts *parts)
{
	if (!parts)
		return;
	while (parts->n > 0)
		drop_run(parts, &parts->runs[parts->n - 1]);
	free(parts);
}

void
tally_parts_drop(struct tally_parts *parts, const struct tally_job_id *id)
{
	for (size_t i = parts->n; i-- > 0;) {
		if (strcmp(parts->runs[i].id.text, id->text) == 0)
			drop_run(parts, &parts->runs[i]);
	}
}

void
tally_parts_age(struct tally_parts *parts, int64_t now_ms)
{
	for (size_t i = parts->n; i-- > 0;) {
		if (now_ms - parts->runs[i].last_ms > TALLY_PARTS_AGE_MS)
			drop_run(parts, &parts->runs[i]);
	}
}

void
tally_parts_limit(struct tally_parts *parts, size_t max_bytes)
{
	parts->max_bytes = max_bytes;
}

size_t
tally_parts_bytes(const struct tally_parts *parts)
{
	return parts->n_bytes;
}

static struct run *
find_run(struct tally_parts *parts, const struct tally_job_result *result)
{
	for (size_t i = 0; i < parts->n; i++) {
		struct run *run = &parts->runs[i];

		if (run->run == result->run && strcmp(run->id.text, result->id.text) == 0)
			return run;
	}
	return NULL;
}

/* The run that waited longest makes room: its worker has most likely died. */
static void
make_room(struct tally_parts *parts)
{
	struct run *oldest = &parts->runs[0];

	if (parts->n < parts->max_runs)
		return;
	for (size_t i = 1; i < parts->n; i++) {
		if (parts->runs[i].last_ms < oldest->last_ms)
			oldest = &parts->runs[i];
	}
	drop_run(parts, oldest);
}

/* NULL: out of memory. */
static struct run *
begin_run(struct tally_parts *parts, const struct tally_job_result *result)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	struct run *run;

	if (!digest || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(digest);
		return NULL;
	}
	make_room(parts);
	run = &parts->runs[parts->n++];
	*run = (struct run){ .id = result->id, .run = result->run, .digest = digest };
	return run;
}

static tally_status
append(struct tally_parts *parts, struct run *run, const void *data, size_t len)
{
	char *body;

	if (parts->n_bytes > parts->max_bytes || len > parts->max_bytes - parts->n_bytes)
		return TALLY_TOO_LARGE;
	body = realloc(run->body, run->len + len + 1);
	if (!body)
		return TALLY_NO_MEMORY;
	run->body = body;
	if (len > 0)
		memcpy(body + run->len, data, len);
	body[run->len + len] = '\0';
	run->len += len;
	parts->n_bytes += len;
	return EVP_DigestUpdate(run->digest, data, len) ? TALLY_OK : TALLY_NO_MEMORY;
}

static bool
has_digest(struct run *run, const struct tally_job_result *last)
{
	unsigned char sha256[EVP_MAX_MD_SIZE];

	return EVP_DigestFinal_ex(run->digest, sha256, NULL) && last->has_sha256
	       && memcmp(sha256, last->sha256, TALLY_SHA256_BYTES) == 0;
}

/* The run that the part goes on, or begins; NULL, and *out_status says why. */
static struct run *
run_of(struct tally_parts *parts, const struct tally_job_result *result, tally_status *out_status)
{
	struct run *run = find_run(parts, result);

	if (result->part != (run ? run->n_parts + 1 : 1)) {
		*out_status = TALLY_BAD_REQUEST;
		if (run)
			drop_run(parts, run);
		return NULL;
	}
	if (!run)
		run = begin_run(parts, result);
	*out_status = run ? TALLY_OK : TALLY_NO_MEMORY;
	return run;
}

static tally_status
finish_run(struct tally_parts *parts, struct run *run, const struct tally_job_result *last,
	   struct tally_body *out_body)
{
	bool is_right = has_digest(run, last);

	if (is_right) {
		*out_body = (struct tally_body){ run->body, run->len };
		run->body = NULL;
	}
	drop_run(parts, run);
	return is_right ? TALLY_OK : TALLY_BAD_REQUEST;
}

tally_status
tally_parts_add(struct tally_parts *parts, const struct tally_job_result *result, const void *data,
		size_t len, int64_t now_ms, struct tally_body *out_body)
{
	bool is_last = tally_job_result_is_last(result);
	tally_status status;
	struct run *run;

	tally_parts_age(parts, now_ms); /* what is stale shall not stand in the way */
	run = run_of(parts, result, &status);
	if (!run)
		return status;
	run->n_parts++;
	run->last_ms = now_ms;
	if (!run->is_too_large)
		status = append(parts, run, data, len);
	if (run->is_too_large || status == TALLY_TOO_LARGE) {
		drop_body(parts, run);
		run->is_too_large = true;
		status = TALLY_TOO_LARGE;
	}
	if (status == TALLY_OK && is_last)
		return finish_run(parts, run, result, out_body);
	if (is_last || status == TALLY_NO_MEMORY)
		drop_run(parts, run);
	return status == TALLY_OK ? TALLY_RESULT_NOT_READY : status;
}
