/* Lines are made on the stack of whoever logs; only the write is under a lock.  O_NONBLOCK is a
 * property of the open file, which standard error shares with the shell and with other processes,
 * so it is not set there: a pipe or terminal is opened once more through /proc, a socket is sent
 * to with MSG_DONTWAIT, and where neither works poll(2) is asked first. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define TAIL_BYTES 32 /* kept free for the end of a line */

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a pipe would tear lines");

enum sink { SINK_POLL, SINK_OPENED, SINK_SOCKET, SINK_FILE };

static struct {
	_Atomic int level;
	_Atomic int format;
	_Atomic uint64_t dropped; /* since the start */
	pthread_mutex_t lock;     /* guards everything below */
	enum sink sink;
	int fd;
	bool is_torn; /* the last write stopped within a line */
	uint64_t dropped_said;
	struct log_site *sites; /* that have suppressed lines */
	int64_t swept_second;
} the_log = {
	.level = LOG_LEVEL_INFO,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.fd = STDERR_FILENO,
};

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *const format_names[] = { "logfmt", "json" };

/* ---- a line ------------------------------------------------------------------ */

struct line {
	char data[LOG_LINE_MAX];
	size_t len;
	bool is_json;
	bool is_full; /* a piece did not fit */
	bool is_cut;  /* a field was left out */
};

static void
put(struct line *line, const char *data, size_t len)
{
	if (len > sizeof line->data - TAIL_BYTES - line->len) {
		line->is_full = true;
		return;
	}
	memcpy(line->data + line->len, data, len);
	line->len += len;
}

static void
put_escaped(struct line *line, unsigned c)
{
	static const char digits[] = "0123456789abcdef";
	static const char shorts[128] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
		['\t'] = 't', ['"'] = '"',  ['\\'] = '\\',
	};
	char out[6] = { '\\', 'u', '0', '0', digits[c >> 4 & 15], digits[c & 15] };

	if (c < sizeof shorts && shorts[c]) {
		out[1] = shorts[c];
		put(line, out, 2);
	} else {
		put(line, out, sizeof out);
	}
}

/* One character, whose length is returned; the C1 controls are escaped too: terminals obey them. */
static size_t
put_char(struct line *line, const unsigned char *at, size_t left)
{
	size_t len = utf8_sequence((const char *)at, left);

	if (len == 0) {
		put(line, "\xEF\xBF\xBD", 3); /* U+FFFD */
		return 1;
	}
	if (at[0] < 0x20 || at[0] == 0x7F || at[0] == '"' || at[0] == '\\')
		put_escaped(line, at[0]);
	else if (at[0] == 0xC2 && at[1] < 0xA0)
		put_escaped(line, at[1]);
	else
		put(line, (const char *)at, len);
	return len;
}

static bool
is_bare(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return len > 0 && len <= LOG_VALUE_MAX;
}

static void
put_text(struct line *line, const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t done = 0;

	if (!line->is_json && is_bare(text, len)) {
		put(line, text, len);
		return;
	}
	put(line, "\"", 1);
	while (done < len && done < LOG_VALUE_MAX)
		done += put_char(line, at + done, len - done);
	if (done < len)
		put(line, "...", 3);
	put(line, "\"", 1);
}

static void
put_number(struct line *line, const struct log_field *field)
{
	char text[32];
	int len = 0;

	if (field->kind == LOG_KIND_INT)
		len = snprintf(text, sizeof text, "%" PRId64, field->integer);
	else if (field->kind == LOG_KIND_UINT)
		len = snprintf(text, sizeof text, "%" PRIu64, field->natural);
	else if (field->kind == LOG_KIND_BOOL)
		len = snprintf(text, sizeof text, "%s", field->truth ? "true" : "false");
	else if (isfinite(field->real) || !line->is_json)
		len = snprintf(text, sizeof text, "%.9g", field->real);
	else
		len = snprintf(text, sizeof text, "null"); /* JSON has no NaN */
	put(line, text, (size_t)len);
}

/* All of a field or nothing of it. */
static void
put_field(struct line *line, const struct log_field *field)
{
	size_t before = line->len;

	if (field->kind == LOG_KIND_TEXT && !field->text)
		return;
	if (before > 0)
		put(line, line->is_json ? "," : " ", 1);
	else if (line->is_json)
		put(line, "{", 1);
	if (line->is_json)
		put(line, "\"", 1);
	put(line, field->key, strlen(field->key));
	put(line, line->is_json ? "\":" : "=", line->is_json ? 2 : 1);
	if (field->kind == LOG_KIND_TEXT)
		put_text(line, field->text, field->len);
	else
		put_number(line, field);
	if (line->is_full) {
		line->len = before;
		line->is_full = false;
		line->is_cut = true;
	}
}

static void
begin_line(struct line *line, enum log_level level, const char *event)
{
	int64_t now_ms = clock_unix_ms();
	time_t now_s = (time_t)(now_ms / 1000);
	char ts[64];
	struct tm tm;
	size_t len;

	line->len = 0;
	line->is_full = line->is_cut = false;
	line->is_json =
	    atomic_load_explicit(&the_log.format, memory_order_relaxed) == LOG_FORMAT_JSON;
	(void)gmtime_r(&now_s, &tm);
	len = strftime(ts, sizeof ts, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ts + len, sizeof ts - len, ".%03dZ", (int)(now_ms % 1000));
	put_field(line, &LOG_TEXT("ts", ts, strlen(ts)));
	put_field(line, &LOG_TEXT("level", level_names[level], strlen(level_names[level])));
	put_field(line, &LOG_TEXT("event", event, strlen(event)));
}

static void
end_line(struct line *line)
{
	static const char cut_logfmt[] = " truncated=true\n", cut_json[] = ",\"truncated\":true}\n";
	const char *end = line->is_json ? "}\n" : "\n";

	_Static_assert(sizeof cut_json <= TAIL_BYTES, "no room for the end");
	if (line->is_cut)
		end = line->is_json ? cut_json : cut_logfmt;
	memcpy(line->data + line->len, end, strlen(end));
	line->len += strlen(end);
}

/* ---- writing; the lock is held ----------------------------------------------- */

static ssize_t
write_once(const char *data, size_t len)
{
	struct pollfd ready = { .fd = the_log.fd, .events = POLLOUT };

	if (the_log.sink == SINK_SOCKET)
		return send(the_log.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (the_log.sink == SINK_POLL && (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT)))
		return -1;
	return write(the_log.fd, data, len);
}

/* False when the line was dropped, or only its beginning was written. */
static bool
write_line(const struct line *line)
{
	ssize_t n;

	if (the_log.is_torn && write_once("\n", 1) != 1)
		return false;
	the_log.is_torn = false;
	do
		n = write_once(line->data, line->len);
	while (n < 0 && errno == EINTR);
	the_log.is_torn = n > 0 && (size_t)n < line->len;
	return n > 0 && !the_log.is_torn;
}

static void
report_dropped(void)
{
	uint64_t n = atomic_load(&the_log.dropped) - the_log.dropped_said;
	struct line line;

	if (n == 0)
		return;
	begin_line(&line, LOG_LEVEL_WARN, "log lines were dropped: nobody read them");
	put_field(&line, &LOG_UINT("dropped", n));
	end_line(&line);
	if (write_line(&line))
		the_log.dropped_said += n;
}

/* Sites that have been silent since they suppressed lines: nothing else would tell. */
static void
report_suppressed(int64_t before_second)
{
	char where[256];
	struct line line;

	for (struct log_site *site = the_log.sites; site; site = site->next) {
		uint64_t n;

		if (atomic_load(&site->second) >= before_second)
			continue;
		n = atomic_exchange(&site->suppressed, 0);
		if (n == 0)
			continue;
		(void)snprintf(where, sizeof where, "%s:%d", site->file, site->line);
		begin_line(&line, LOG_LEVEL_WARN, "log lines were suppressed");
		put_field(&line, &LOG_TEXT("site", where, strlen(where)));
		put_field(&line, &LOG_UINT("suppressed", n));
		end_line(&line);
		if (!write_line(&line))
			atomic_fetch_add(&the_log.dropped, 1);
	}
}

/* ---- the limit of a site ----------------------------------------------------- */

static void
list_site(struct log_site *site)
{
	if (atomic_exchange(&site->is_listed, true))
		return;
	pthread_mutex_lock(&the_log.lock);
	site->next = the_log.sites;
	the_log.sites = site;
	pthread_mutex_unlock(&the_log.lock);
}

/* Whether a site may write one more line in this second.  Threads that meet at the turn of a
 * second may get a line more or less. */
static bool
admit(struct log_site *site, int64_t second)
{
	int64_t counted = atomic_load_explicit(&site->second, memory_order_relaxed);

	if (counted != second && atomic_compare_exchange_strong(&site->second, &counted, second))
		atomic_store(&site->n, 0);
	if (atomic_fetch_add(&site->n, 1) < LOG_SITE_A_SECOND)
		return true;
	atomic_fetch_add(&site->suppressed, 1);
	list_site(site);
	return false;
}

/* ---- what callers use -------------------------------------------------------- */

struct log_field
log_field_text(const char *key, const char *text)
{
	bool is_there = text && *text;

	return (struct log_field){ .key = key,
				   .kind = LOG_KIND_TEXT,
				   .text = is_there ? text : NULL,
				   .len = is_there ? strlen(text) : 0 };
}

void
log_write(struct log_site *site, enum log_level level, const char *event,
	  const struct log_field *fields)
{
	int saved_errno = errno;
	int64_t second = clock_mono_ms() / 1000;
	struct line line;
	uint64_t suppressed;

	if (level != LOG_LEVEL_DEBUG && !admit(site, second)) {
		errno = saved_errno;
		return;
	}
	begin_line(&line, level, event);
	for (; fields->kind != LOG_KIND_END; fields++)
		put_field(&line, fields);
	suppressed = atomic_exchange(&site->suppressed, 0);
	if (suppressed > 0)
		put_field(&line, &LOG_UINT("suppressed", suppressed));
	end_line(&line);
	pthread_mutex_lock(&the_log.lock);
	report_dropped();
	if (!write_line(&line))
		atomic_fetch_add(&the_log.dropped, 1);
	if (the_log.swept_second != second) {
		the_log.swept_second = second;
		report_suppressed(second - 1);
	}
	pthread_mutex_unlock(&the_log.lock);
	errno = saved_errno;
}

bool
log_is_on(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

uint64_t
log_dropped(void)
{
	return atomic_load(&the_log.dropped);
}

void
log_open(enum log_level level, enum log_format format)
{
	struct stat about;
	int fd;

	log_close();
	atomic_store(&the_log.level, (int)level);
	atomic_store(&the_log.format, (int)format);
	if (fstat(STDERR_FILENO, &about) != 0)
		return;
	if (S_ISSOCK(about.st_mode)) {
		the_log.sink = SINK_SOCKET;
	} else if (S_ISREG(about.st_mode)) {
		the_log.sink = SINK_FILE; /* never full; a second opening would lose O_APPEND */
	} else {
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			return; /* no /proc, or another user's terminal: poll */
		the_log.sink = SINK_OPENED;
		the_log.fd = fd;
	}
}

void
log_close(void)
{
	pthread_mutex_lock(&the_log.lock);
	report_suppressed(INT64_MAX);
	report_dropped();
	if (the_log.sink == SINK_OPENED)
		(void)close(the_log.fd);
	the_log.sink = SINK_POLL;
	the_log.fd = STDERR_FILENO;
	the_log.is_torn = false;
	pthread_mutex_unlock(&the_log.lock);
	atomic_store(&the_log.level, LOG_LEVEL_INFO);
	atomic_store(&the_log.format, LOG_FORMAT_LOGFMT);
}

static bool
find_name(const char *name, const char *const *names, size_t n_names, size_t *out_index)
{
	for (size_t i = 0; i < n_names; i++) {
		if (strcmp(name, names[i]) == 0) {
			*out_index = i;
			return true;
		}
	}
	return false;
}

bool
log_level_from(const char *name, enum log_level *out_level)
{
	size_t i;

	if (!find_name(name, level_names, sizeof level_names / sizeof *level_names, &i))
		return false;
	*out_level = (enum log_level)i;
	return true;
}

bool
log_format_from(const char *name, enum log_format *out_format)
{
	size_t i;

	if (!find_name(name, format_names, sizeof format_names / sizeof *format_names, &i))
		return false;
	*out_format = (enum log_format)i;
	return true;
}
