/* push.c - a body that is written while it is sent.
 *
 * libmicrohttpd's thread reads the bytes; when there are none it suspends the connection, and the
 * next write resumes it.  Deciding that there are none, suspending and marking the connection
 * paused are one step under the push's lock, so that no write falls in between.  A suspended
 * connection is watched by the server's own epoll (watch.c), which cuts it when its client leaves.
 *
 * However a connection ends, libmicrohttpd then drops its response: that is where the writer
 * learns that its client has left. */
#include "http/push.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "http/inner.h"

#define FIRST_BYTES 1024
#define BLOCK_BYTES 2048 /* of libmicrohttpd, for HTTP/1.0 */

struct http_push {
	pthread_mutex_t lock;
	pthread_cond_t called; /* is_calling has ended */
	size_t max_bytes;
	http_gone_fn *on_gone;
	void *ctx;
	/* guarded by lock */
	unsigned n_holders; /* the writer, the response */
	struct conn *conn;  /* while libmicrohttpd has the response */
	char *data;         /* what is not sent yet; NULL: nothing */
	size_t cap;
	size_t begin;
	size_t end;
	bool is_ended;   /* by the writer */
	bool is_dropped; /* by the response: nobody reads any more */
	bool is_calling; /* on_gone runs, on caller */
	pthread_t caller;
};

struct http_push *
http_push_new(size_t max_bytes, http_gone_fn *on_gone, void *ctx)
{
	struct http_push *push = calloc(1, sizeof *push);

	if (!push)
		return NULL;
	pthread_mutex_init(&push->lock, NULL);
	pthread_cond_init(&push->called, NULL);
	push->max_bytes = max_bytes;
	push->on_gone = on_gone;
	push->ctx = ctx;
	push->n_holders = 1;
	return push;
}

/* Lets go of one hold, with the lock held. */
static void
drop_and_unlock(struct http_push *push)
{
	bool is_last = --push->n_holders == 0;

	pthread_mutex_unlock(&push->lock);
	if (!is_last)
		return;
	pthread_cond_destroy(&push->called);
	pthread_mutex_destroy(&push->lock);
	free(push->data);
	free(push);
}

/* ---- the side of the response ------------------------------------------------ */

/* Nobody reads any more. */
static void
drop_response(void *ctx)
{
	struct http_push *push = ctx;

	pthread_mutex_lock(&push->lock);
	if (push->conn)
		atomic_fetch_sub(&push->conn->server->n_streams, 1);
	push->conn = NULL;
	push->is_dropped = true;
	if (!push->is_ended && push->on_gone) {
		push->is_calling = true;
		push->caller = pthread_self();
		pthread_mutex_unlock(&push->lock);
		push->on_gone(push->ctx);
		pthread_mutex_lock(&push->lock);
		push->is_calling = false;
		pthread_cond_broadcast(&push->called);
	}
	drop_and_unlock(push);
}

void
http_response_push(struct http_response *response, struct http_push *push)
{
	pthread_mutex_lock(&push->lock);
	push->n_holders++;
	pthread_mutex_unlock(&push->lock);
	http_response_static(response, NULL, 0);
	response->kind = HTTP_BODY_PUSH;
	response->free_body = drop_response;
	response->ctx = push;
}

/* An idle stream keeps no memory. */
static size_t
take(struct http_push *push, char *out, size_t max)
{
	size_t len = push->end - push->begin;

	if (len > max)
		len = max;
	memcpy(out, push->data + push->begin, len);
	push->begin += len;
	if (push->begin == push->end) {
		free(push->data);
		push->data = NULL;
		push->cap = push->begin = push->end = 0;
	}
	return len;
}

static ssize_t
pause_body(struct conn *conn)
{
	struct MHD_Connection *mhd = conn->request->mhd;

	MHD_suspend_connection(mhd);
	if (!http_conn_pause(conn))
		http_turn_resume(conn->turn, mhd);
	return 0;
}

static ssize_t
read_push(void *ctx, uint64_t offset, char *out, size_t max)
{
	struct http_push *push = ctx;
	ssize_t n;

	(void)offset;
	pthread_mutex_lock(&push->lock);
	if (http_conn_is_cut(push->conn))
		n = http_read_cut(out);
	else if (push->end > push->begin)
		n = (ssize_t)take(push, out, max);
	else if (push->is_ended)
		n = MHD_CONTENT_READER_END_OF_STREAM;
	else
		n = pause_body(push->conn);
	pthread_mutex_unlock(&push->lock);
	return n;
}

struct MHD_Response *
http_push_build(struct http_push *push, struct conn *conn)
{
	struct MHD_Response *answer = MHD_create_response_from_callback(
	    MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_push, push, drop_response);

	if (!answer)
		return NULL;
	pthread_mutex_lock(&push->lock);
	push->conn = conn;
	pthread_mutex_unlock(&push->lock);
	atomic_fetch_add(&conn->server->n_streams, 1);
	return answer;
}

/* ---- the side of the writer -------------------------------------------------- */

/* Makes room for len bytes at the end. */
static tally_status
make_room(struct http_push *push, size_t len)
{
	size_t used = push->end - push->begin;
	size_t cap = push->cap ? push->cap : FIRST_BYTES;
	char *data;

	if (len > push->max_bytes - used)
		return TALLY_FULL;
	if (push->cap - push->end >= len)
		return TALLY_OK;
	while (cap - used < len)
		cap *= 2;
	data = malloc(cap);
	if (!data)
		return TALLY_NO_MEMORY;
	if (used > 0)
		memcpy(data, push->data + push->begin, used);
	free(push->data);
	push->data = data;
	push->cap = cap;
	push->begin = 0;
	push->end = used;
	return TALLY_OK;
}

tally_status
http_push_write(struct http_push *push, const char *data, size_t len)
{
	tally_status status;

	pthread_mutex_lock(&push->lock);
	status = push->is_ended || push->is_dropped ? TALLY_CLOSED : make_room(push, len);
	if (status != TALLY_OK || len == 0) {
		pthread_mutex_unlock(&push->lock);
		return status;
	}
	memcpy(push->data + push->end, data, len);
	push->end += len;
	if (push->conn)
		http_conn_go_on(push->conn);
	pthread_mutex_unlock(&push->lock);
	return TALLY_OK;
}

void
http_push_end(struct http_push *push)
{
	pthread_mutex_lock(&push->lock);
	push->is_ended = true;
	if (push->conn)
		http_conn_go_on(push->conn);
	pthread_mutex_unlock(&push->lock);
}

void
http_push_free(struct http_push *push)
{
	if (!push)
		return;
	http_push_end(push);
	pthread_mutex_lock(&push->lock);
	while (push->is_calling && !pthread_equal(push->caller, pthread_self()))
		pthread_cond_wait(&push->called, &push->lock);
	drop_and_unlock(push);
}
