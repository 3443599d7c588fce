/* Loaded into a worker before its libraries (LD_PRELOAD), in tests only: messages that contain a
 * word end it, each in its own way.
 *
 *   poison-parse-   the JSON decoder ends the process
 *   poison-query-   the kernel does, as it would when memory is short, while a query is asked
 *   poison-hang-    the thread that asks the query never comes back
 *   poison-answer-  the process ends when the answer goes out
 *
 * And where TALLY_TEST_STOP names a file, the first worker that comes to part STOP_PART of a result
 * makes that file and stops itself, as by SIGSTOP; the parts before are in the topic then. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <libpq-fe.h>
#include <librdkafka/rdkafka.h>

#define MAX_PARTS    16
#define STOP_PART    "50"
#define PUBLISHED_US (500 * 1000) /* what was produced is at the broker after that */

static bool
has(const void *data, size_t len, const char *word)
{
	return data && memmem(data, len, word, strlen(word));
}

typedef json_t *loadb_fn(const char *text, size_t len, size_t flags, json_error_t *error);
typedef int query_fn(PGconn *pg, const char *name, int n, const char *const *values,
		     const int *lengths, const int *formats, int format);

json_t *
json_loadb(const char *text, size_t len, size_t flags, json_error_t *error)
{
	loadb_fn *next;

	*(void **)&next = dlsym(RTLD_NEXT, "json_loadb");
	if (has(text, len, "poison-parse-"))
		abort();
	return next(text, len, flags, error);
}

int
PQsendQueryPrepared(PGconn *pg, const char *name, int n, const char *const *values,
		    const int *lengths, const int *formats, int format)
{
	query_fn *next;

	*(void **)&next = dlsym(RTLD_NEXT, "PQsendQueryPrepared");
	for (int i = 0; i < n; i++) {
		size_t len = values[i] ? (size_t)lengths[i] : 0;

		if (has(values[i], len, "poison-query-"))
			raise(SIGKILL);
		while (has(values[i], len, "poison-hang-"))
			pause();
	}
	return next(pg, name, n, values, lengths, formats, format);
}

/* One part of a message, as rd_kafka_producev takes it. */
static void
read_part(rd_kafka_vu_t *part, va_list *args)
{
	switch (part->vtype) {
	case RD_KAFKA_VTYPE_TOPIC:
		part->u.cstr = va_arg(*args, const char *);
		break;
	case RD_KAFKA_VTYPE_PARTITION:
		part->u.i32 = va_arg(*args, int32_t);
		break;
	case RD_KAFKA_VTYPE_VALUE:
	case RD_KAFKA_VTYPE_KEY:
		part->u.mem.ptr = va_arg(*args, void *);
		part->u.mem.size = va_arg(*args, size_t);
		break;
	case RD_KAFKA_VTYPE_MSGFLAGS:
		part->u.i = va_arg(*args, int);
		break;
	case RD_KAFKA_VTYPE_OPAQUE:
		part->u.ptr = va_arg(*args, void *);
		break;
	case RD_KAFKA_VTYPE_HEADERS:
		part->u.headers = va_arg(*args, rd_kafka_headers_t *);
		break;
	default:
		abort(); /* a part that the producer did not use when this was written */
	}
}

static void
stop_once(const rd_kafka_headers_t *headers)
{
	const char *file = getenv("TALLY_TEST_STOP");
	const void *part = NULL;
	size_t len = 0;
	int fd;

	if (!file || !headers
	    || rd_kafka_header_get_last(headers, "tally-part", &part, &len)
		   != RD_KAFKA_RESP_ERR_NO_ERROR
	    || len != strlen(STOP_PART) || memcmp(part, STOP_PART, len) != 0)
		return;
	fd = open(file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return; /* another did */
	(void)close(fd);
	(void)usleep(PUBLISHED_US);
	(void)raise(SIGSTOP);
}

rd_kafka_resp_err_t
rd_kafka_producev(rd_kafka_t *client, ...)
{
	rd_kafka_vu_t parts[MAX_PARTS];
	bool is_letter = false;
	va_list args;
	size_t n = 0;

	va_start(args, client);
	while ((parts[n].vtype = va_arg(args, rd_kafka_vtype_t)) != RD_KAFKA_VTYPE_END) {
		read_part(&parts[n], &args);
		is_letter = is_letter
			    || (parts[n].vtype == RD_KAFKA_VTYPE_TOPIC
				&& strcmp(parts[n].u.cstr, "tally.dead-letters") == 0);
		if (++n == MAX_PARTS)
			abort();
	}
	va_end(args);
	for (size_t i = 0; i < n; i++) {
		if (parts[i].vtype == RD_KAFKA_VTYPE_HEADERS)
			stop_once(parts[i].u.headers);
	}
	for (size_t i = 0; i < n && !is_letter; i++) {
		if (parts[i].vtype == RD_KAFKA_VTYPE_VALUE
		    && has(parts[i].u.mem.ptr, parts[i].u.mem.size, "poison-answer-"))
			abort();
	}
	rd_kafka_error_t *error = rd_kafka_produceva(client, parts, n);
	rd_kafka_resp_err_t code = error ? rd_kafka_error_code(error) : RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_error_destroy(error);
	return code;
}
