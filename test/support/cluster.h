/* cluster.h - a private PostgreSQL for the tests: its own folder, its own port on 127.0.0.1, gone
 * when the process that started it is.  As root, the server runs as user postgres. */
#ifndef SUPPORT_CLUSTER_H
#define SUPPORT_CLUSTER_H

#include <sys/types.h>

struct cluster {
	char folder[64];
	char url[96]; /* of a superuser */
	int port;
	pid_t pid; /* of the postmaster */
};

/* Makes and starts a cluster, which answers when this returns; ends the program when it cannot. */
struct cluster *cluster_start(void);

/* Stops it at once and removes its folder.  Accepts NULL. */
void cluster_stop(struct cluster *cluster);

/* Sends a signal to the postmaster and to all of its processes: SIGSTOP freezes the server. */
void cluster_signal(const struct cluster *cluster, int signal);

/* Kills the server as a crash would; cluster_restart starts it again. */
void cluster_kill(struct cluster *cluster);

/* Starts a stopped server's processes anew in the same folder and port: kills, then starts. */
void cluster_restart(struct cluster *cluster);

/* Listens on a free port of 127.0.0.1 and never answers; returns the socket, for cluster_close. */
int cluster_listen_silently(int *out_port);

/* Closes such a socket. */
void cluster_close(int fd);

#endif
