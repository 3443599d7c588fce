/* http_script.h - an HTTP server that does as it is told, for clients under test: it reads a request
 * and sends bytes that need not be HTTP, in pieces of any size, and then keeps the connection, ends
 * it in good or bad manner, or says nothing more.  On a free port of 127.0.0.1; threads of its own. */
#ifndef SUPPORT_HTTP_SCRIPT_H
#define SUPPORT_HTTP_SCRIPT_H

#include <stddef.h>

enum http_then {
	HTTP_KEEP,  /* waits for the next request */
	HTTP_CLOSE, /* FIN */
	HTTP_RESET, /* RST */
	HTTP_HANG,  /* says nothing, until the client goes */
};

/* What happens at one request. */
struct http_act {
	char *bytes;
	size_t len;
	size_t slice; /* bytes of each write; 0: all at once */
	enum http_then then;
};

struct http_script;

/* Starts a server.  Requests take the acts in order of arrival, and the last act from then on; acts
 * are borrowed.  Ends the process when it cannot. */
struct http_script *http_script_start(const struct http_act *acts, size_t n);

/* Stops it and frees it.  Accepts NULL. */
void http_script_stop(struct http_script *script);

int http_script_port(const struct http_script *script);

/* How many connections were taken, and requests read, so far. */
size_t http_script_connections(struct http_script *script);
size_t http_script_requests(struct http_script *script);

/* The text of a request, from its first line to the end of its body; terminated, borrowed until
 * the server is stopped.  NULL: there was none. */
const char *http_script_request(struct http_script *script, size_t index);

#endif
