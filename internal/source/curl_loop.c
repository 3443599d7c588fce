#include "source/curl_loop.h"

#include <stdlib.h>
#include <sys/epoll.h>

static void
take_ended(struct curl_loop *curl_loop)
{
	CURLMsg *message;
	int n_left;

	while ((message = curl_multi_info_read(curl_loop->multi, &n_left))) {
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_multi_remove_handle(curl_loop->multi, easy);
		curl_loop->done(curl_loop->ctx, easy, code);
	}
}

static void
act(struct curl_loop *curl_loop, curl_socket_t fd, int what)
{
	int n_running;

	(void)curl_multi_socket_action(curl_loop->multi, fd, what, &n_running);
	take_ended(curl_loop);
}

static void
on_time(void *ctx)
{
	act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_event(void *ctx, int fd, uint32_t events)
{
	int what = 0;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP))
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	act(ctx, fd, what);
}

/* Without memory the transfer waits in vain, until its deadline: a curl that is told of a failure
 * here would end all of them. */
static void
begin_watch(struct curl_loop *curl_loop, curl_socket_t fd, uint32_t events)
{
	struct loop_watch *watch = malloc(sizeof *watch);

	if (!watch)
		return;
	*watch = (struct loop_watch){
		.fd = fd, .events = events, .on_event = on_event, .ctx = curl_loop
	};
	if (loop_watch(curl_loop->loop, watch) != TALLY_OK
	    || curl_multi_assign(curl_loop->multi, fd, watch) != CURLM_OK) {
		loop_unwatch(curl_loop->loop, watch);
		free(watch);
	}
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct curl_loop *curl_loop = ctx;
	struct loop_watch *watch = socket_ctx;
	uint32_t events = 0;

	(void)easy;
	if (what & CURL_POLL_IN && what != CURL_POLL_REMOVE)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT && what != CURL_POLL_REMOVE)
		events |= EPOLLOUT;
	if (what == CURL_POLL_REMOVE && watch) {
		loop_unwatch(curl_loop->loop, watch);
		free(watch);
	} else if (watch) {
		loop_watch_set(curl_loop->loop, watch, events);
	} else if (what != CURL_POLL_REMOVE) {
		begin_watch(curl_loop, fd, events);
	}
	return 0;
}

static int
on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct curl_loop *curl_loop = ctx;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_clear(curl_loop->loop, &curl_loop->timer);
	else if (loop_timer_set(curl_loop->loop, &curl_loop->timer,
				loop_now_ms(curl_loop->loop) + timeout_ms)
		 != TALLY_OK)
		return -1;
	return 0;
}

tally_status
curl_loop_init(struct curl_loop *curl_loop, struct loop *loop, size_t max_connections,
	       curl_loop_done_fn *done, void *ctx)
{
	CURLM *multi = curl_multi_init();

	*curl_loop = (struct curl_loop){
		.loop = loop,
		.multi = multi,
		.timer = { .on_time = on_time, .ctx = curl_loop },
		.done = done,
		.ctx = ctx,
	};
	if (!multi || curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK
	    || curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, curl_loop) != CURLM_OK
	    || curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK
	    || curl_multi_setopt(multi, CURLMOPT_TIMERDATA, curl_loop) != CURLM_OK
	    || curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK
	    || curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)max_connections) != CURLM_OK)
		return TALLY_NO_MEMORY;
	return TALLY_OK;
}

void
curl_loop_fini(struct curl_loop *curl_loop)
{
	if (!curl_loop->multi)
		return;
	(void)curl_multi_cleanup(curl_loop->multi);
	loop_timer_clear(curl_loop->loop, &curl_loop->timer);
	curl_loop->multi = NULL;
}

tally_status
curl_loop_add(struct curl_loop *curl_loop, CURL *easy)
{
	return curl_multi_add_handle(curl_loop->multi, easy) == CURLM_OK ? TALLY_OK
									 : TALLY_NO_MEMORY;
}

void
curl_loop_remove(struct curl_loop *curl_loop, CURL *easy)
{
	(void)curl_multi_remove_handle(curl_loop->multi, easy);
}
