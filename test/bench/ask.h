/* ask.h - HTTP over one connection that is kept, blocking, as little as can be: what is measured
 * shall be the other side.  Any failure ends the program.  One thread. */
#ifndef BENCH_ASK_H
#define BENCH_ASK_H

struct ask;

/* A connection to "host:port"; the caller closes it. */
struct ask *ask_open(const char *address);

/* One GET, until the body's last byte; the answer must be 200. */
void ask_get(struct ask *ask, const char *target);

/* Closes and frees. */
void ask_close(struct ask *ask);

#endif
