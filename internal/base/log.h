/* log.h - one event is one line on standard error: logfmt or JSON, with typed fields.
 *
 *	log_info("worker started", LOG_STR("lane", "sync"), LOG_INT("connections", n));
 *	ts=2025-06-29T10:00:00.123Z level=info event="worker started" lane=sync connections=4
 *
 * Any thread.  The caller never waits for whoever reads the lines: what does not fit into a full
 * pipe is dropped and counted, and a line says so later.  Each call site writes at most
 * LOG_SITE_A_SECOND lines a second (debug: all); the site's next line carries suppressed=N.  errno
 * survives every call.  Keys are literals of letters, digits and _; values may be anything: they
 * are escaped, and cut at LOG_VALUE_MAX.  Fields are borrowed for the call.
 *
 * Only cmd/, gateway/ and worker/ log.  Never log payloads, logins or credentials. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tally/status.h>

#define LOG_LINE_MAX      4096 /* bytes, its end included: PIPE_BUF, so a pipe takes all or none */
#define LOG_VALUE_MAX     1024 /* bytes of a value before escaping; "..." follows a cut */
#define LOG_SITE_A_SECOND 10

/* error: somebody must look.  warn: we went on.  info: life cycle.  debug: anything. */
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

enum log_kind {
	LOG_KIND_END,
	LOG_KIND_TEXT,
	LOG_KIND_INT,
	LOG_KIND_UINT,
	LOG_KIND_FLOAT,
	LOG_KIND_BOOL
};

struct log_field {
	const char *key;
	enum log_kind kind;
	size_t len; /* of text */
	union {
		const char *text;
		int64_t integer;
		uint64_t natural;
		double real;
		bool truth;
	};
};

/* A terminated text; NULL and "" leave the field out. */
#define LOG_STR(k, v) log_field_text((k), (v))
/* n bytes of text. */
#define LOG_TEXT(k, v, n)                                                                          \
	((struct log_field){ .key = (k), .kind = LOG_KIND_TEXT, .text = (v), .len = (n) })
#define LOG_INT(k, v)   ((struct log_field){ .key = (k), .kind = LOG_KIND_INT, .integer = (v) })
#define LOG_UINT(k, v)  ((struct log_field){ .key = (k), .kind = LOG_KIND_UINT, .natural = (v) })
#define LOG_FLOAT(k, v) ((struct log_field){ .key = (k), .kind = LOG_KIND_FLOAT, .real = (v) })
#define LOG_BOOL(k, v)  ((struct log_field){ .key = (k), .kind = LOG_KIND_BOOL, .truth = (v) })
/* What a struct tally_error * says: code, error, and source and sqlstate when they are known. */
#define LOG_ERROR(err)                                                                             \
	LOG_STR("code", tally_status_code((err)->status)), LOG_STR("source", (err)->source),       \
	    LOG_STR("sqlstate", (err)->sqlstate), LOG_STR("error", (err)->detail)
#define LOG_END ((struct log_field){ .kind = LOG_KIND_END })

/* A place in the source that logs; made by the macros below, never by hand. */
struct log_site {
	const char *file;
	int line;
	_Atomic bool is_listed;      /* in the list of sites that ever suppressed a line */
	_Atomic int64_t second;      /* monotonic; what n counts */
	_Atomic unsigned n;          /* lines in that second */
	_Atomic uint64_t suppressed; /* and not reported yet */
	struct log_site *next;       /* guarded by the log's lock */
};

/* log_event(level, "what happened", fields...): the macros for one level are below. */
#define log_event(level, ...) LOG_AT_((level), __VA_ARGS__, LOG_END)
#define log_debug(...)        log_event(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)         log_event(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)         log_event(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...)        log_event(LOG_LEVEL_ERROR, __VA_ARGS__)

#define LOG_AT_(level, event, ...)                                                                 \
	do {                                                                                       \
		static struct log_site site_ = { .file = __FILE__, .line = __LINE__ };             \
		if (log_is_on(level))                                                              \
			log_write(&site_, (level), (event),                                        \
				  (const struct log_field[]){ __VA_ARGS__ });                      \
	} while (0)

/* Sets level and format and looks at what standard error is; before threads are started.  Without
 * it: info, logfmt.  Standard error itself is left as it is (others share it). */
void log_open(enum log_level level, enum log_format format);

/* Reports what was dropped and suppressed and goes back to the state before log_open; after threads
 * have ended. */
void log_close(void);

/* Parse "debug", "info", "warn", "error" and "logfmt", "json"; false, and nothing written, for
 * anything else. */
bool log_level_from(const char *name, enum log_level *out_level);
bool log_format_from(const char *name, enum log_format *out_format);

/* Whether lines of that level are written: for fields that are dear to make. */
bool log_is_on(enum log_level level);

/* How many lines were dropped since the start because nobody read them: for a metric. */
uint64_t log_dropped(void);

/* For the macros: a field of terminated text; a line from a site, fields up to LOG_END. */
struct log_field log_field_text(const char *key, const char *text);
void log_write(struct log_site *site, enum log_level level, const char *event,
	       const struct log_field *fields);

#endif
