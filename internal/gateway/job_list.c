/* GET /v1/jobs: the caller's own jobs, newest first, in pages.
 *
 * A page ends after limit jobs, or when its text is long: params and labels may be 64 KiB each. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/gateway_inner.h"
#include "gateway/job_cursor.h"
#include "gateway/job_document.h"
#include "gateway/jobs.h"
#include "gateway/problem.h"

#define LIMIT_DEFAULT  50
#define PAGE_BYTES     (1024 * 1024) /* no further job after that */
#define PAGE_MAX_BYTES (4 * PAGE_BYTES)
#define LINK_BYTES     512

struct list {
	struct exchange exchange;
	struct job_list_query query;
};

/* ---- the page ------------------------------------------------------------------ */

static tally_status
add_job(struct buf *page, const struct job *job, int64_t now_ms)
{
	struct job_document document;
	tally_status status = job_document_make(job, now_ms, &document);

	if (status != TALLY_OK)
		return status;
	status = buf_reserve(page, document.len + 1);
	if (status == TALLY_OK && page->data[page->len - 1] != '[')
		status = buf_append(page, ",", 1);
	if (status == TALLY_OK)
		status = buf_append(page, document.text, document.len);
	free(document.text);
	return status;
}

/* Writes jobs until the page is full; *out_n is how many. */
static tally_status
write_page(struct buf *page, const struct job *jobs, size_t n, size_t *out_n)
{
	int64_t now_ms = clock_unix_ms();
	tally_status status = buf_puts(page, "{\"jobs\":[");
	size_t i;

	for (i = 0; status == TALLY_OK && i < n && page->len < PAGE_BYTES; i++)
		status = add_job(page, &jobs[i], now_ms);
	*out_n = i;
	return status == TALLY_OK ? buf_puts(page, "]}") : status;
}

/* The next page begins after the last job of this one. */
static void
add_link(struct http_response *response, const struct job_list_query *query, const struct job *last)
{
	char cursor[JOB_CURSOR_CHARS + 1];
	char link[LINK_BYTES];
	size_t n;

	if (!job_cursor_write(last, cursor))
		return;
	n = (size_t)snprintf(link, sizeof link, "</v1/jobs?cursor=%s&limit=%zu", cursor,
			     query->limit);
	if (query->has_state)
		n += (size_t)snprintf(link + n, sizeof link - n, "&state=%s",
				      job_state_name(query->state));
	if (query->dataset[0] != '\0')
		n += (size_t)snprintf(link + n, sizeof link - n, "&dataset=%s", query->dataset);
	snprintf(link + n, sizeof link - n, ">; rel=\"next\"");
	http_response_header(response, "Link", link);
}

static void
refuse(struct list *list, tally_status status)
{
	struct tally_error err = { 0 };

	(void)tally_fail(&err, status == TALLY_FULL ? TALLY_SATURATED : status, "%s",
			 status == TALLY_JOB_STORE_UNAVAILABLE
			     ? "the job store does not answer; jobs go on meanwhile"
			 : status == TALLY_SATURATED || status == TALLY_FULL
			     ? "the job store is at its limit"
			     : "the jobs cannot be listed");
	snprintf(err.source, sizeof err.source, "jobs");
	exchange_problem(&list->exchange, &err, NULL);
	free(list);
}

static void
on_listed(void *ctx, tally_status status, const struct job *jobs, size_t n)
{
	struct list *list = ctx;
	struct buf page = BUF_INIT(PAGE_MAX_BYTES);
	struct http_response response;
	size_t n_shown = 0, len = 0;

	if (status == TALLY_OK)
		status = write_page(&page, jobs, n, &n_shown);
	if (status != TALLY_OK) {
		buf_fini(&page);
		refuse(list, status);
		return;
	}
	http_response_init(&response, 200);
	http_response_header(&response, "Content-Type", "application/json");
	http_response_header(&response, "Cache-Control", "no-store");
	if (n_shown > 0 && (n_shown < n || n == list->query.limit))
		add_link(&response, &list->query, &jobs[n_shown - 1]);
	char *text = buf_take(&page, &len);
	http_response_owned(&response, text, len);
	exchange_reply(&list->exchange, &response);
	free(list);
}

/* ---- the question -------------------------------------------------------------- */

static void
read_state(struct job_list_query *query, const struct http_argument *argument,
	   struct params_faults *faults)
{
	query->has_state = job_state_parse(argument->value, argument->len, &query->state);
	if (!query->has_state)
		problem_add_fault(faults, "state",
				  "must be queued, running, succeeded, failed or cancelled");
}

static void
read_dataset(struct job_list_query *query, const struct http_argument *argument,
	     struct params_faults *faults)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";

	if (argument->len == 0 || argument->len >= sizeof query->dataset
	    || strspn(argument->value, letters) != argument->len) {
		problem_add_fault(faults, "dataset", "is no name of a dataset");
		return;
	}
	snprintf(query->dataset, sizeof query->dataset, "%s", argument->value);
}

static void
read_limit(struct job_list_query *query, const struct http_argument *argument,
	   struct params_faults *faults)
{
	size_t limit = 0;
	bool is_number = argument->len > 0 && argument->len < 4;

	for (size_t i = 0; is_number && i < argument->len; i++) {
		is_number = argument->value[i] >= '0' && argument->value[i] <= '9';
		limit = limit * 10 + (size_t)(argument->value[i] - '0');
	}
	query->limit = limit;
	if (!is_number || limit < 1 || limit > JOB_LIST_MAX)
		problem_add_fault(faults, "limit", "must be a number from 1 to 200");
}

static void
read_cursor(struct job_list_query *query, const struct http_argument *argument,
	    struct params_faults *faults)
{
	if (!job_cursor_read(argument->value, argument->len, &query->before_created_ms,
			     &query->before_id))
		problem_add_fault(faults, "cursor", "is none that a page of this list gave");
}

static void
read_query(struct job_list_query *query, const struct http_target *target,
	   struct params_faults *faults)
{
	static const struct {
		const char *name;
		void (*read)(struct job_list_query *query, const struct http_argument *argument,
			     struct params_faults *faults);
	} readers[] = {
		{ "state",   read_state   },
		{ "dataset", read_dataset },
		{ "limit",   read_limit   },
		{ "cursor",  read_cursor  },
	};
	const size_t n_readers = sizeof readers / sizeof readers[0];

	for (size_t i = 0; i < target->n_arguments; i++) {
		const struct http_argument *argument = &target->arguments[i];
		size_t k = 0;

		while (k < n_readers && strcmp(readers[k].name, argument->name) != 0)
			k++;
		if (k < n_readers)
			readers[k].read(query, argument, faults);
		else
			problem_add_fault(faults, argument->name, "is no parameter of the list");
	}
}

static void
ask(struct gateway_jobs *jobs, const struct exchange *exchange, const struct job_list_query *query)
{
	struct list *list = malloc(sizeof *list);
	struct tally_error err = { 0 };

	if (!list) {
		(void)tally_fail(&err, TALLY_NO_MEMORY, "out of memory");
		exchange_problem(exchange, &err, NULL);
		return;
	}
	*list = (struct list){ *exchange, *query };
	tally_status status =
	    job_store_list(gateway_jobs_store(jobs), &list->query, on_listed, list);
	if (status != TALLY_OK)
		refuse(list, status);
}

void
gateway_list_jobs(const struct exchange *exchange)
{
	struct job_list_query query = { .limit = LIMIT_DEFAULT };
	struct params_faults faults = { .n = 0 };
	struct tally_error err = { 0 };

	read_query(&query, http_request_target(exchange->request), &faults);
	if (faults.n > 0) {
		(void)tally_fail(&err, TALLY_INVALID_PARAMETER, "%s %s", faults.items[0].name,
				 faults.items[0].detail);
		exchange_problem(exchange, &err, &faults);
		return;
	}
	snprintf(query.tenant, sizeof query.tenant, "%s", exchange_tenant(exchange));
	struct gateway_jobs *jobs = gateway_jobs_begin(exchange);
	if (!jobs)
		return;
	ask(jobs, exchange, &query);
	gateway_jobs_end(jobs);
}
