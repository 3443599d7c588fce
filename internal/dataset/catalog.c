#include "dataset/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"

#define CATALOG_MAX 256 /* datasets of one folder */
#define READ_BYTES  4096

struct catalog {
	struct definition *items[CATALOG_MAX];
	size_t n;
};

OWN_DEFINE(catalog);
OWN_DEFINE(definition);

void
catalog_free(struct catalog *catalog)
{
	if (!catalog)
		return;
	for (size_t i = 0; i < catalog->n; i++)
		definition_free(catalog->items[i]);
	free(catalog);
}

static tally_status
read_file(const char *path, struct buf *out, struct tally_error *err)
{
	FILE *file = fopen(path, "re");
	char chunk[READ_BYTES];
	size_t n;
	tally_status status = TALLY_OK;

	if (!file)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s cannot be read: %s", path,
				  strerror(errno));
	/* A byte too many is for definition_parse to complain of. */
	while (status == TALLY_OK && out->len <= DEFINITION_MAX_BYTES
	       && (n = fread(chunk, 1, sizeof chunk, file)) > 0)
		status = buf_append(out, chunk, n);
	if (status != TALLY_OK)
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	else if (ferror(file))
		status = tally_fail(err, TALLY_WRONG_SETTING, "%s cannot be read: %s", path,
				    strerror(errno));
	fclose(file);
	return status;
}

/* Whether "comments.sql" is the file of dataset comments. */
static bool
is_named_after(const char *file, const struct definition *definition)
{
	size_t len = strlen(definition->name);

	return strncmp(file, definition->name, len) == 0 && strcmp(file + len, ".sql") == 0;
}

static tally_status
load_file(const char *folder, const char *file, struct catalog *catalog, struct tally_error *err)
{
	OWN(definition) definition = NULL;
	struct buf text = BUF_INIT(DEFINITION_MAX_BYTES + READ_BYTES);
	char path[4096];

	if (catalog->n == CATALOG_MAX)
		return tally_fail(err, TALLY_WRONG_DEFINITION, "%s:1: more than %d datasets", file,
				  CATALOG_MAX);
	if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: the path is too long", folder);
	tally_status status = read_file(path, &text, err);
	if (status == TALLY_OK)
		status =
		    definition_parse(file, text.len ? text.data : "", text.len, &definition, err);
	buf_fini(&text);
	if (status != TALLY_OK)
		return status;
	if (!is_named_after(file, definition))
		return tally_fail(err, TALLY_WRONG_DEFINITION,
				  "%s:1: dataset %s must be in a file %s.sql", file,
				  definition->name, definition->name);
	catalog->items[catalog->n++] = TAKE(definition);
	return TALLY_OK;
}

static int
is_dataset_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".sql") == 0;
}

static int
compare_definitions(const void *a, const void *b)
{
	const struct definition *const *left = a;
	const struct definition *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

tally_status
catalog_load(const char *folder, struct catalog **out_catalog, struct tally_error *err)
{
	OWN(catalog) catalog = calloc(1, sizeof *catalog);
	struct dirent **entries = NULL;
	tally_status status = TALLY_OK;

	if (!catalog)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	int n = scandir(folder, &entries, is_dataset_file, alphasort);
	if (n < 0)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "the folder of datasets %s cannot be read: %s", folder,
				  strerror(errno));
	for (int i = 0; i < n; i++) {
		if (status == TALLY_OK)
			status = load_file(folder, entries[i]->d_name, catalog, err);
		free(entries[i]);
	}
	free(entries);
	if (status != TALLY_OK)
		return status;
	if (catalog->n == 0)
		return tally_fail(err, TALLY_WRONG_DEFINITION, "%s:0: the folder has no *.sql file",
				  folder);
	qsort(catalog->items, catalog->n, sizeof catalog->items[0], compare_definitions);
	*out_catalog = TAKE(catalog);
	return TALLY_OK;
}

size_t
catalog_count(const struct catalog *catalog)
{
	return catalog->n;
}

const struct definition *
catalog_at(const struct catalog *catalog, size_t index)
{
	return catalog->items[index];
}

const struct definition *
catalog_find(const struct catalog *catalog, const char *name, size_t len)
{
	for (size_t i = 0; i < catalog->n; i++) {
		const char *known = catalog->items[i]->name;
		if (strlen(known) == len && memcmp(known, name, len) == 0)
			return catalog->items[i];
	}
	return NULL;
}
