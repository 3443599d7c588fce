/* migrate_files.h - inside the folder only: the files of a folder of migrations. */
#ifndef SOURCE_MIGRATE_FILES_H
#define SOURCE_MIGRATE_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define MIGRATE_TABLE     "schema_migrations"
#define MIGRATE_MAX_FILES 1000
#define MIGRATE_MAX_BYTES (16 * 1024 * 1024) /* of one file */
#define MIGRATE_MAX_NAME  128

/* NNNNNN_name.up.sql and its .down.sql. */
struct migrate_file {
	uint64_t version;
	char name[MIGRATE_MAX_NAME];
	char up[2 * MIGRATE_MAX_NAME]; /* file names; "" when there is none */
	char down[2 * MIGRATE_MAX_NAME];
};

struct migrate_files {
	struct migrate_file *items; /* by version */
	size_t n;
};

/* Reads a folder's names.  TALLY_WRONG_SETTING (no such folder), TALLY_WRONG_DEFINITION (two files
 * of one version, a version without .up.sql), TALLY_NO_MEMORY.  Release with migrate_files_fini,
 * also after a failure. */
TALLY_MUST_CHECK tally_status migrate_files_read(const char *folder, struct migrate_files *files,
						 struct tally_error *err);

/* Releases the list.  Accepts zeroed ones. */
void migrate_files_fini(struct migrate_files *files);

/* Reads a file into buf and ends it with NUL (not counted in len).  TALLY_WRONG_SETTING (it cannot
 * be read), TALLY_WRONG_DEFINITION (a NUL byte), TALLY_TOO_LARGE, TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status migrate_file_load(const char *path, struct buf *buf,
						struct tally_error *err);

/* Whether a file's text must not be put into a transaction: a statement begins with BEGIN, START or
 * VACUUM, or has the word CONCURRENTLY.  Words in quotes, comments and bodies of functions do not
 * count. */
bool migrate_is_own_transaction(const char *text);

/* The number of golang-migrate's advisory lock: CRC-32 of "schema\0table\0database" times a
 * constant.  Names are those of PostgreSQL, of at most 63 bytes. */
uint32_t migrate_lock_number(const char *schema, const char *database);

#endif
