/* job_events.h - GET /v1/jobs/{id}/events: the states of a job as server-sent events (HTML living
 * standard, section 9.2).
 *
 * Each state that a job comes to is an event: "state", its data the job's document, its id a number
 * that grows with the states: 1 queued, 2 running, 3 final.  So Last-Event-ID says what a client
 * knows already, at any gateway.  The first event is the present state; the stream ends after the
 * final one, and who has seen that gets a 204, which tells a browser not to come again.  A comment
 * every 15 s keeps proxies from closing a silent stream.
 *
 * A job store that is away ends no stream: they go on when it is back. */
#ifndef GATEWAY_JOB_EVENTS_H
#define GATEWAY_JOB_EVENTS_H

#include <stddef.h>

struct exchange;
struct job_events;

/* The open streams of a gateway, at most max.  NULL when out of memory. */
struct job_events *job_events_new(size_t max);

/* Ends all streams and lets no more begin; those that the store has in hand end with its answer. */
void job_events_close(struct job_events *events);

/* Frees it: it is closed, the store and the HTTP server are stopped.  Accepts NULL. */
void job_events_free(struct job_events *events);

/* How many streams are open. */
size_t job_events_count(struct job_events *events);

/* Handles GET /v1/jobs/{id}/events. */
void gateway_get_job_events(const struct exchange *exchange);

#endif
