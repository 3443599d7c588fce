/* record_sql.h - the statements of the recorder.  Arrays in, one of each column, joined by
 * position; see projection.h for the rules that they apply. */
#ifndef JOBS_RECORD_SQL_H
#define JOBS_RECORD_SQL_H

#include <stddef.h>
#include <stdint.h>

#define RECORD_COLUMNS 23

enum record_statement {
	RECORD_FIND_FOREIGN, /* ids -> id, day, is final: a foreign id does not tell its day */
	RECORD_MOVE_JOBS,    /* rows to an earlier day, and their bodies */
	RECORD_MOVE_RESULTS,
	RECORD_BODIES,
	RECORD_COUNT_PARTS, /* of results in parts -> id, parts, bytes */
	RECORD_JOBS,
	RECORD_DROP_OTHERS, /* bodies of runs that are not the result */
	RECORD_KEYS,
	RECORD_PROGRESS,
	RECORD_STATEMENTS
};

/* A statement; its parameters are arrays of these elements (pg_array.h), 0 ends them. */
struct record_sql {
	const char *text;
	uint32_t elements[RECORD_COLUMNS + 1];
};

extern const struct record_sql record_sql[RECORD_STATEMENTS];

#endif
