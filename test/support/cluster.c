#include "support/cluster.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "base/clock.h"

#define START_MS 30000

static const char *const folders[] = { "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/16/bin",
				       "/usr/lib/postgresql/17/bin", "/usr/local/bin", "/usr/bin" };

__attribute__((format(printf, 1, 2), noreturn)) static void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("cluster: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void
find_program(const char *name, char *out, size_t cap)
{
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		(void)snprintf(out, cap, "%s/%s", folders[i], name);
		if (access(out, X_OK) == 0)
			return;
	}
	die("no %s on this machine", name);
}

/* In the child: PostgreSQL refuses to run as root. */
static void
become_postgres(void)
{
	const struct passwd *user;

	if (geteuid() != 0)
		return;
	user = getpwnam("postgres");
	if (!user || setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0
	    || setuid(user->pw_uid) != 0)
		_exit(126);
}

/* Runs a program in the folder, its output going to a file there. */
static pid_t
spawn(const struct cluster *cluster, const char *const argv[])
{
	pid_t parent = getpid();
	pid_t pid = fork();
	int fd;

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	become_postgres();
	/* After the change of user, which clears it. */
	(void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (getppid() != parent || chdir(cluster->folder) != 0)
		_exit(126);
	fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	(void)dup2(fd, 1);
	(void)dup2(fd, 2);
	execv(argv[0], (char *const *)(uintptr_t)argv); /* it does not write */
	_exit(127);
}

static void
run(const struct cluster *cluster, const char *const argv[])
{
	pid_t pid = spawn(cluster, argv);
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("%s failed; see %s/log", argv[0], cluster->folder);
}

int
cluster_listen_silently(int *out_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 16) != 0
	    || getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		die("no port: %s", strerror(errno));
	*out_port = ntohs(address.sin_port);
	return fd;
}

void
cluster_close(int fd)
{
	(void)close(fd);
}

static int
free_port(void)
{
	int port;

	cluster_close(cluster_listen_silently(&port));
	return port;
}

static void
await(const struct cluster *cluster)
{
	int64_t until_ms = clock_mono_ms() + START_MS;
	int status;

	for (;;) {
		struct timespec pause = { .tv_nsec = 20000000 };

		if (PQping(cluster->url) == PQPING_OK)
			return;
		if (waitpid(cluster->pid, &status, WNOHANG) == cluster->pid
		    || clock_mono_ms() > until_ms)
			die("postgres did not start; see %s/log", cluster->folder);
		(void)nanosleep(&pause, NULL);
	}
}

static void
start_server(struct cluster *cluster)
{
	char program[128], port[16], data[96];
	/* Nothing here need survive a crash of the machine. */
	const char *argv[] = { program,
			       "-D",
			       data,
			       "-p",
			       port,
			       "-c",
			       "listen_addresses=127.0.0.1",
			       "-c",
			       "unix_socket_directories=",
			       "-c",
			       "fsync=off",
			       "-c",
			       "max_connections=60",
			       "-c",
			       "shared_buffers=16MB",
			       NULL };

	find_program("postgres", program, sizeof program);
	(void)snprintf(port, sizeof port, "%d", cluster->port);
	(void)snprintf(data, sizeof data, "%s/data", cluster->folder);
	cluster->pid = spawn(cluster, argv);
	await(cluster);
}

struct cluster *
cluster_start(void)
{
	struct cluster *cluster = calloc(1, sizeof *cluster);
	char program[128], data[96];
	const char *argv[] = { program, "-D",         data,        "-U",
			       "tally", "-A",         "trust",     "-E",
			       "UTF8",  "--locale=C", "--no-sync", "--no-instructions",
			       NULL };
	const struct passwd *user = getpwnam("postgres");

	if (!cluster)
		die("out of memory");
	(void)snprintf(cluster->folder, sizeof cluster->folder, "/tmp/tally-cluster-XXXXXX");
	if (!mkdtemp(cluster->folder))
		die("%s: %s", cluster->folder, strerror(errno));
	if (geteuid() == 0 && (!user || chown(cluster->folder, user->pw_uid, user->pw_gid) != 0))
		die("no user postgres");
	(void)snprintf(data, sizeof data, "%s/data", cluster->folder);
	find_program("initdb", program, sizeof program);
	run(cluster, argv);
	cluster->port = free_port();
	(void)snprintf(cluster->url, sizeof cluster->url,
		       "postgresql://tally@127.0.0.1:%d/postgres", cluster->port);
	start_server(cluster);
	return cluster;
}

/* Kills the server as a crash would, without a trace in memory segments. */
static void
kill_server(struct cluster *cluster)
{
	int status;

	if (cluster->pid == 0)
		return;
	cluster_signal(cluster, SIGCONT);
	(void)kill(cluster->pid, SIGQUIT);
	(void)waitpid(cluster->pid, &status, 0);
	cluster->pid = 0;
}

void
cluster_kill(struct cluster *cluster)
{
	kill_server(cluster);
}

void
cluster_restart(struct cluster *cluster)
{
	kill_server(cluster);
	start_server(cluster);
}

void
cluster_stop(struct cluster *cluster)
{
	const char *argv[] = { "/bin/rm", "-rf", NULL, NULL };
	pid_t pid;

	if (!cluster)
		return;
	kill_server(cluster);
	argv[2] = cluster->folder;
	pid = fork();
	if (pid == 0) {
		execv(argv[0], (char *const *)(uintptr_t)argv); /* it does not write */
		_exit(127);
	}
	(void)waitpid(pid, NULL, 0);
	free(cluster);
}

static pid_t
parent_of(const char *pid)
{
	char path[64], line[512];
	FILE *file;
	const char *close;

	(void)snprintf(path, sizeof path, "/proc/%.16s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(line, sizeof line, file))
		line[0] = 0;
	(void)fclose(file);
	close = strrchr(line, ')'); /* "12 (postgres) S 11 ..." */
	return close && strlen(close) > 4 ? (pid_t)strtol(close + 4, NULL, 10) : 0;
}

void
cluster_signal(const struct cluster *cluster, int signal)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;

	(void)kill(cluster->pid, signal);
	while (proc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid > 0 && parent_of(entry->d_name) == cluster->pid)
			(void)kill(pid, signal);
	}
	if (proc)
		(void)closedir(proc);
}
