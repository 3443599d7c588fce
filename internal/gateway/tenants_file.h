/* tenants_file.h - the file of API keys, read and checked; what it says is not in force yet.
 *
 * Its form is described in tenants.h.  One thread at a time. */
#ifndef GATEWAY_TENANTS_FILE_H
#define GATEWAY_TENANTS_FILE_H

#include <stddef.h>

#include <tally/digest.h>
#include <tally/id.h>
#include <tally/status.h>

#include "gateway/tenants.h"

#define TENANTS_MAX_KEYS  4096
#define TENANTS_MAX_LINES 65536

/* A tenant, in the order of the first lines. */
struct tenants_file_tenant {
	char name[TALLY_TENANT_MAX + 1];
	struct tenant_limits limits;
	size_t n_keys;
};

struct tenants_file_key {
	unsigned char sha256[TALLY_SHA256_BYTES];
	size_t tenant; /* index */
	unsigned line;
};

struct tenants_file {
	struct tenants_file_tenant *tenants;
	size_t n_tenants;
	struct tenants_file_key *keys;
	size_t n_keys;
};

/* Reads a file, which must have a key at least; the caller frees the result.  TALLY_WRONG_SETTING
 * ("file:line: what", never with a word of the line itself: it may be a key), TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status tenants_file_read(const char *path, struct tenants_file **out_file,
						struct tally_error *err);

/* Frees it.  Accepts NULL. */
void tenants_file_free(struct tenants_file *file);

#endif
