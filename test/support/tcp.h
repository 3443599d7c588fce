/* tcp.h - a client of a server under test, on 127.0.0.1. */
#ifndef SUPPORT_TCP_H
#define SUPPORT_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A connection, which the caller closes or leaves; -1: there is none, errno says why. */
int tcp_connect(unsigned port);

/* The bytes of the next read; 0: closed or reset; -1: nothing came within timeout_ms. */
ssize_t tcp_hear(int fd, char *out, size_t max, int timeout_ms);

/* Closes; with reset as a client that is gone without a word. */
void tcp_leave(int fd, bool reset);

#endif
