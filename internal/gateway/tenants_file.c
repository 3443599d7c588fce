#include "gateway/tenants_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/line.h"
#include "base/own.h"

#define LINE_BYTES 1024
#define MAX_WORDS  6 /* one more than a line may have */
#define BLANKS     " \t\r\n\v\f"
#define HEX_CHARS  ((size_t)2 * TALLY_SHA256_BYTES)

OWN_DEFINE(tenants_file);

/* Where a line stands, for errors. */
struct place {
	const char *path;
	unsigned line;
};

static tally_status
wrong(const struct place *place, const char *what, struct tally_error *err)
{
	return tally_fail(err, TALLY_WRONG_SETTING, "%s:%u: %s", place->path, place->line, what);
}

/* Splits a line in place; at most MAX_WORDS words. */
static size_t
split(char *line, char *words[MAX_WORDS])
{
	size_t n = 0;

	line[strcspn(line, "#")] = '\0';
	for (char *at = line + strspn(line, BLANKS); n < MAX_WORDS && *at != '\0';) {
		words[n++] = at;
		at += strcspn(at, BLANKS);
		if (*at != '\0')
			*at++ = '\0';
		at += strspn(at, BLANKS);
	}
	return n;
}

static int
hex_value(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at ? (int)(at - digits) % 16 : -1;
}

static bool
read_hash(const char *word, unsigned char out[TALLY_SHA256_BYTES])
{
	if (strlen(word) != HEX_CHARS)
		return false;
	for (size_t i = 0; i < TALLY_SHA256_BYTES; i++) {
		int high = hex_value(word[2 * i]);
		int low = hex_value(word[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high * 16 + low);
	}
	return true;
}

static bool
read_limit(const char *word, uint32_t *out_limit)
{
	char *end;

	if (word[0] < '0' || word[0] > '9') /* no sign */
		return false;
	errno = 0;
	unsigned long value = strtoul(word, &end, 10);
	if (errno != 0 || *end != '\0' || value > TENANTS_LIMIT_MAX)
		return false;
	*out_limit = (uint32_t)value;
	return true;
}

/* The tenant of a name, added if it is new.  There are at most as many as keys. */
static size_t
find_or_add(struct tenants_file *file, const char *name)
{
	size_t i = 0;

	while (i < file->n_tenants && strcmp(file->tenants[i].name, name) != 0)
		i++;
	if (i == file->n_tenants) {
		file->tenants[i] = (struct tenants_file_tenant){ .n_keys = 0 };
		snprintf(file->tenants[i].name, sizeof file->tenants[i].name, "%s", name);
		file->n_tenants++;
	}
	return i;
}

static tally_status
check_new(const struct tenants_file *file, const unsigned char *sha256, const struct place *place,
	  struct tally_error *err)
{
	char what[64];

	if (file->n_keys == TENANTS_MAX_KEYS) {
		snprintf(what, sizeof what, "there are more than %d keys", TENANTS_MAX_KEYS);
		return wrong(place, what, err);
	}
	for (size_t i = 0; i < file->n_keys; i++) {
		if (memcmp(file->keys[i].sha256, sha256, TALLY_SHA256_BYTES) != 0)
			continue;
		snprintf(what, sizeof what, "this key stands on line %u already",
			 file->keys[i].line);
		return wrong(place, what, err);
	}
	return TALLY_OK;
}

static tally_status
take_line(struct tenants_file *file, char *line, const struct place *place, struct tally_error *err)
{
	struct tenant_limits limits = { 0 };
	uint32_t *const fields[] = { &limits.requests_a_second, &limits.in_flight,
				     &limits.waiting };
	char *words[MAX_WORDS];
	unsigned char sha256[TALLY_SHA256_BYTES];
	size_t n = split(line, words);

	if (n == 0)
		return TALLY_OK;
	if (n < 2 || n == MAX_WORDS)
		return wrong(place,
			     "a line is TENANT SHA256 [REQUESTS_A_SECOND [IN_FLIGHT [WAITING]]]",
			     err);
	if (!tally_tenant_is_valid(words[0], strlen(words[0])))
		return wrong(place, "a tenant's name is 1 to 64 of A-Z a-z 0-9 _ . -", err);
	if (!read_hash(words[1], sha256))
		return wrong(
		    place, "the SHA-256 of a key is 64 hex digits (tally keys new makes one)", err);
	for (size_t i = 2; i < n; i++) {
		if (!read_limit(words[i], fields[i - 2]))
			return wrong(place, "a limit is a whole number from 0 (none) to 1000000",
				     err);
	}
	tally_status status = check_new(file, sha256, place, err);
	if (status != TALLY_OK)
		return status;
	size_t tenant = find_or_add(file, words[0]);
	if (n > 2)
		file->tenants[tenant].limits = limits;
	file->tenants[tenant].n_keys++;
	struct tenants_file_key *key = &file->keys[file->n_keys++];
	memcpy(key->sha256, sha256, sizeof sha256);
	key->tenant = tenant;
	key->line = place->line;
	return TALLY_OK;
}

static tally_status
take_lines(struct tenants_file *file, FILE *in, struct place *place, struct tally_error *err)
{
	char line[LINE_BYTES];
	tally_status status = TALLY_OK;
	enum line_result result;

	while (status == TALLY_OK && (result = line_read(in, line, sizeof line)) != LINE_END) {
		place->line++;
		if (result == LINE_TOO_LONG)
			status = wrong(place, "the line is too long", err);
		else if (result == LINE_HAS_NUL)
			status = wrong(place, "the line has a NUL byte", err);
		else if (place->line > TENANTS_MAX_LINES)
			status = wrong(place, "there are too many lines", err);
		else
			status = take_line(file, line, place, err);
	}
	if (status == TALLY_OK && ferror(in)) /* a folder opens but is not read */
		status =
		    tally_fail(err, TALLY_WRONG_SETTING, "%s: %s", place->path, strerror(errno));
	/* Also a file that is being written just now. */
	if (status == TALLY_OK && file->n_keys == 0)
		status =
		    tally_fail(err, TALLY_WRONG_SETTING, "%s: there is no key in it", place->path);
	return status;
}

tally_status
tenants_file_read(const char *path, struct tenants_file **out_file, struct tally_error *err)
{
	OWN(tenants_file) file = calloc(1, sizeof *file);
	struct place place = { path, 0 };

	if (file) {
		file->tenants = calloc(TENANTS_MAX_KEYS, sizeof *file->tenants);
		file->keys = calloc(TENANTS_MAX_KEYS, sizeof *file->keys);
	}
	if (!file || !file->tenants || !file->keys)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	FILE *in = fopen(path, "re");
	if (!in)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: %s", path, strerror(errno));
	tally_status status = take_lines(file, in, &place, err);
	fclose(in);
	if (status == TALLY_OK)
		*out_file = TAKE(file);
	return status;
}

void
tenants_file_free(struct tenants_file *file)
{
	if (!file)
		return;
	free(file->tenants);
	free(file->keys);
	free(file);
}
