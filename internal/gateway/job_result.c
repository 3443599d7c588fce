/* GET /v1/jobs/{id}/result: the rows as they were stored; CSV and NDJSON are streamed from them.
 *
 * A body is in memory once, counted against TALLY_RESULTS_BYTES from before it is read until it is
 * sent. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/etag.h"
#include "gateway/gateway_inner.h"
#include "gateway/job_look.h"
#include "gateway/problem.h"

/* Enough for a header line and a first row, usually. */
#define FIRST_BYTES 4096
/* Of a SHA-256 in hex with quotes and the longest ending. */
#define TAG_BYTES 80

struct fetch {
	struct job_look look; /* first */
	struct form form;
	const struct definition *definition; /* of the rows; NULL: not needed */
	char tag[TAG_BYTES];
	size_t taken; /* of TALLY_RESULTS_BYTES */
};

/* A body on its way to the client. */
struct parcel {
	struct gateway_jobs *jobs;
	size_t taken;
	char *body;
	struct transcode *transcode; /* NULL: as it is */
	char first[FIRST_BYTES];     /* written before the answer began */
	size_t n_first;
	size_t n_sent; /* of first */
};

static void
parcel_free(void *ctx)
{
	struct parcel *parcel = ctx;

	transcode_free(parcel->transcode);
	free(parcel->body);
	gateway_jobs_give_bytes(parcel->jobs, parcel->taken);
	free(parcel);
}

static ssize_t
parcel_read(void *ctx, char *out, size_t max)
{
	struct parcel *parcel = ctx;
	size_t len = parcel->n_first - parcel->n_sent;

	if (len > 0) {
		len = len < max ? len : max;
		memcpy(out, parcel->first + parcel->n_sent, len);
		parcel->n_sent += len;
	} else if (transcode_read(parcel->transcode, out, max, &len) != TALLY_OK) {
		log_error("a job's result cannot be written as CSV or NDJSON");
		return -1;
	}
	return (ssize_t)len;
}

/* ---- answers ------------------------------------------------------------------- */

static void
refuse(struct fetch *fetch, const struct tally_error *error)
{
	if (fetch->taken > 0)
		gateway_jobs_give_bytes(fetch->look.jobs, fetch->taken);
	exchange_problem(&fetch->look.exchange, error, NULL);
	job_look_free(&fetch->look);
}

static void
refuse_not_ready(struct fetch *fetch, const struct job *job)
{
	struct tally_error err = { 0 };

	(void)tally_fail(&err, TALLY_RESULT_NOT_READY, "the job is %s",
			 job_state_name(job ? job->state : JOB_QUEUED));
	refuse(fetch, &err);
}

/* The job's own error is the answer, with its HTTP status. */
static void
refuse_failed(struct fetch *fetch, const struct job *job)
{
	tally_status status = job->state == JOB_CANCELLED ? TALLY_CANCELLED : TALLY_INTERNAL_ERROR;
	struct tally_error err = { 0 };

	if (!job->error || tally_error_decode(job->error, strlen(job->error), &err) != TALLY_OK)
		(void)tally_fail(&err, status, "the job is %s", job_state_name(job->state));
	refuse(fetch, &err);
}

static void
add_headers(struct http_response *response, const struct fetch *fetch)
{
	http_response_header(response, "ETag", fetch->tag);
	http_response_header(response, "Cache-Control", "private, no-cache");
	http_response_header(response, "Vary", "Accept");
}

static void
answer_held(struct fetch *fetch)
{
	struct http_response response;

	http_response_init(&response, 304);
	add_headers(&response, fetch);
	exchange_reply(&fetch->look.exchange, &response);
	job_look_free(&fetch->look);
}

static void
add_file_name(struct http_response *response, const struct fetch *fetch)
{
	char value[128];

	if (fetch->form.format != TRANSCODE_CSV)
		return;
	snprintf(value, sizeof value, "attachment; filename=%s.csv", fetch->definition->name);
	http_response_header(response, "Content-Disposition", value);
}

/* ---- the body ------------------------------------------------------------------ */

/* Begins to write; rows that the definition does not fit are found out while there is no answer
 * yet. */
static tally_status
begin_transcode(struct parcel *parcel, const struct fetch *fetch, size_t len,
		struct tally_error *err)
{
	parcel->transcode = transcode_new(fetch->definition, fetch->form.format,
					  fetch->form.csv_safe, parcel->body, len);
	if (!parcel->transcode)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	if (transcode_read(parcel->transcode, parcel->first, sizeof parcel->first, &parcel->n_first)
	    != TALLY_OK)
		return tally_fail(err, TALLY_DATASET_MISMATCH,
				  "the rows are not of this gateway's definition of %s; they can "
				  "be had as JSON",
				  fetch->definition->name);
	return TALLY_OK;
}

/* Takes the body and what was taken for it, also when it fails. */
static tally_status
pack(struct fetch *fetch, char *body, size_t len, struct http_response *response,
     struct tally_error *err)
{
	struct parcel *parcel = calloc(1, sizeof *parcel);
	tally_status status = TALLY_OK;

	if (!parcel) {
		free(body);
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	}
	parcel->jobs = fetch->look.jobs;
	parcel->body = body;
	parcel->taken = fetch->taken;
	fetch->taken = 0;
	if (fetch->form.format != TRANSCODE_JSON)
		status = begin_transcode(parcel, fetch, len, err);
	if (status != TALLY_OK) {
		parcel_free(parcel);
		return status;
	}
	http_response_init(response, 200);
	http_response_header(response, "Content-Type", transcode_media_type(fetch->form.format));
	add_headers(response, fetch);
	add_file_name(response, fetch);
	if (fetch->form.format == TRANSCODE_JSON)
		http_response_foreign(response, body, len, parcel_free, parcel);
	else
		http_response_stream(response, parcel_read, parcel_free, parcel);
	return TALLY_OK;
}

static tally_status
explain(tally_status status, struct tally_error *err)
{
	const char *what = "the job store does not answer; the result is kept";

	if (status == TALLY_FULL)
		status = TALLY_SATURATED;
	if (status == TALLY_EXPIRED || status == TALLY_NOT_FOUND) {
		status = TALLY_EXPIRED;
		what = "jobs and results are kept for 24 hours";
	} else if (status == TALLY_SATURATED) {
		what = "the job store is at its limit";
	} else if (status != TALLY_JOB_STORE_UNAVAILABLE) {
		what = "the result cannot be read";
	}
	return tally_fail(err, status, "%s", what);
}

static void
on_body(void *ctx, tally_status status, char *body, size_t len)
{
	struct fetch *fetch = ctx;
	struct http_response response;
	struct tally_error err = { 0 };

	if (status == TALLY_OK)
		status = pack(fetch, body, len, &response, &err);
	else
		status = explain(status, &err);
	if (status != TALLY_OK) {
		refuse(fetch, &err);
		return;
	}
	exchange_reply(&fetch->look.exchange, &response);
	job_look_free(&fetch->look);
}

/* ---- the job ------------------------------------------------------------------- */

/* What the caller asks for; otherwise what the job was submitted with, otherwise JSON. */
static tally_status
choose_format(struct fetch *fetch, const struct job *job, struct tally_error *err)
{
	enum transcode_format own = TRANSCODE_JSON;

	if (job->format)
		(void)transcode_format_parse(job->format, strlen(job->format), &own);
	if (form_choose(&fetch->form, own, err) != TALLY_OK)
		return err->status;
	if (fetch->form.format == TRANSCODE_JSON)
		return TALLY_OK;
	fetch->definition = job->dataset
				? catalog_find(fetch->look.exchange.gateway->options.catalog,
					       job->dataset, strlen(job->dataset))
				: NULL;
	if (!fetch->definition)
		return tally_fail(err, TALLY_DATASET_MISMATCH,
				  "this gateway does not have the job's dataset; the rows can be "
				  "had as JSON");
	return TALLY_OK;
}

/* A tag for each representation: JSON's is the SHA-256. */
static void
write_tag(struct fetch *fetch, const struct job *job)
{
	static const char *const endings[] = {
		[TRANSCODE_JSON] = "", [TRANSCODE_CSV] = "-csv", [TRANSCODE_NDJSON] = "-ndjson"
	};
	bool is_bare = fetch->form.format == TRANSCODE_CSV && !fetch->form.csv_safe;
	size_t n = 1;

	fetch->tag[0] = '"';
	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++, n += 2)
		snprintf(fetch->tag + n, sizeof fetch->tag - n, "%02x", job->sha256[i]);
	snprintf(fetch->tag + n, sizeof fetch->tag - n, "%s%s\"", endings[fetch->form.format],
		 is_bare ? "0" : "");
}

static void
read_body(struct fetch *fetch, const struct job *job)
{
	struct tally_error err = { 0 };

	if (!gateway_jobs_take_bytes(fetch->look.jobs, job->n_bytes)) {
		(void)tally_fail(&err, TALLY_SATURATED,
				 "too many results are on their way to callers");
		refuse(fetch, &err);
		return;
	}
	fetch->taken = job->n_bytes;
	tally_status status =
	    job_store_read_body(gateway_jobs_store(fetch->look.jobs), job, on_body, fetch);
	if (status != TALLY_OK)
		on_body(fetch, status, NULL, 0);
}

static void
on_found(struct job_look *look, const struct job *job, const struct tally_error *error)
{
	struct fetch *fetch = (struct fetch *)look;
	struct tally_error err = { 0 };

	if (error) {
		refuse(fetch, error);
	} else if (!job || !job_state_is_final(job->state)) {
		refuse_not_ready(fetch, job);
	} else if (job->state != JOB_SUCCEEDED) {
		refuse_failed(fetch, job);
	} else if (choose_format(fetch, job, &err) != TALLY_OK) {
		refuse(fetch, &err);
	} else {
		write_tag(fetch, job);
		if (etag_is_held(look->exchange.request, fetch->tag))
			answer_held(fetch);
		else
			read_body(fetch, job);
	}
}

/* ---- the request --------------------------------------------------------------- */

/* Reads the query and Accept; what is wrong is answered, and false. */
static bool
read_request(struct form *form, const struct exchange *exchange)
{
	const struct http_target *target = http_request_target(exchange->request);
	struct params_faults faults = { .n = 0 };
	struct tally_error err = { 0 };
	struct form tried;

	form_init(form, exchange->request);
	for (size_t i = 0; i < target->n_arguments; i++) {
		if (!form_take(form, &target->arguments[i], &faults))
			problem_add_fault(&faults, target->arguments[i].name,
					  "is no parameter of a result");
	}
	if (faults.n > 0)
		(void)tally_fail(&err, TALLY_INVALID_PARAMETER, "%s %s", faults.items[0].name,
				 faults.items[0].detail);
	/* Whether any format will do can be said without the job. */
	tried = *form;
	if (faults.n == 0 && form_choose(&tried, TRANSCODE_JSON, &err) == TALLY_OK)
		return true;
	exchange_problem(exchange, &err, &faults);
	return false;
}

void
gateway_get_result(const struct exchange *exchange)
{
	struct form form;
	struct fetch *fetch;

	if (!read_request(&form, exchange))
		return;
	fetch = job_look_begin(exchange, sizeof *fetch, on_found);
	if (!fetch)
		return;
	struct gateway_jobs *jobs = fetch->look.jobs;
	fetch->form = form;
	job_look_ask(&fetch->look);
	gateway_jobs_end(jobs);
}
