#include "source/migrate_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct parsed {
	uint64_t version;
	const char *name;
	size_t name_len;
	bool is_down;
};

static bool
ends_with(const char *text, size_t len, const char *end)
{
	size_t end_len = strlen(end);

	return len > end_len && memcmp(text + len - end_len, end, end_len) == 0;
}

/* Whether a name is that of a migration; others, such as a README, are none of ours. */
static bool
parse_name(const char *file, struct parsed *out)
{
	size_t len = strlen(file);
	char *end;

	out->is_down = ends_with(file, len, ".down.sql");
	if (!out->is_down && !ends_with(file, len, ".up.sql"))
		return false;
	if (file[0] < '0' || file[0] > '9')
		return false;
	errno = 0;
	out->version = strtoull(file, &end, 10);
	if (*end != '_' || errno != 0 || out->version > INT64_MAX)
		return false;
	out->name = end + 1;
	out->name_len = (size_t)(file + len - out->name) - (out->is_down ? 9 : 7);
	return out->name_len > 0 && out->name_len < MIGRATE_MAX_NAME && len < 2 * MIGRATE_MAX_NAME;
}

static struct migrate_file *
find_or_add(struct migrate_files *files, const struct parsed *parsed)
{
	struct migrate_file *file;

	for (size_t i = 0; i < files->n; i++) {
		if (files->items[i].version == parsed->version)
			return &files->items[i];
	}
	file = &files->items[files->n++];
	*file = (struct migrate_file){ .version = parsed->version };
	memcpy(file->name, parsed->name, parsed->name_len);
	return file;
}

static tally_status
add(struct migrate_files *files, const char *entry, const struct parsed *parsed,
    struct tally_error *err)
{
	struct migrate_file *file = find_or_add(files, parsed);
	char *slot = parsed->is_down ? file->down : file->up;

	if (slot[0])
		return tally_fail(err, TALLY_WRONG_DEFINITION, "%s and %s have the same version",
				  slot, entry);
	memcpy(slot, entry, strlen(entry) + 1);
	return TALLY_OK;
}

static int
by_version(const void *a, const void *b)
{
	uint64_t first = ((const struct migrate_file *)a)->version;
	uint64_t second = ((const struct migrate_file *)b)->version;

	return (first > second) - (first < second);
}

static tally_status
check(struct migrate_files *files, const char *folder, struct tally_error *err)
{
	if (files->n == 0)
		return tally_fail(err, TALLY_WRONG_SETTING,
				  "%s: no migrations (NNNNNN_name.up.sql) in this folder", folder);
	qsort(files->items, files->n, sizeof *files->items, by_version);
	for (size_t i = 0; i < files->n; i++) {
		if (!files->items[i].up[0])
			return tally_fail(err, TALLY_WRONG_DEFINITION, "%s has no .up.sql",
					  files->items[i].down);
	}
	return TALLY_OK;
}

tally_status
migrate_files_read(const char *folder, struct migrate_files *files, struct tally_error *err)
{
	tally_status status = TALLY_OK;
	struct dirent *entry;
	DIR *dir;

	*files = (struct migrate_files){ 0 };
	dir = opendir(folder);
	if (!dir)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: %s", folder, strerror(errno));
	files->items = calloc(MIGRATE_MAX_FILES, sizeof *files->items);
	if (!files->items)
		status = tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	while (status == TALLY_OK && (entry = readdir(dir))) {
		struct parsed parsed;

		if (!parse_name(entry->d_name, &parsed))
			continue;
		if (files->n == MIGRATE_MAX_FILES)
			status =
			    tally_fail(err, TALLY_WRONG_DEFINITION, "%s: more than %d migrations",
				       folder, MIGRATE_MAX_FILES);
		else
			status = add(files, entry->d_name, &parsed, err);
	}
	(void)closedir(dir); /* it was only read */
	return status == TALLY_OK ? check(files, folder, err) : status;
}

void
migrate_files_fini(struct migrate_files *files)
{
	free(files->items);
	*files = (struct migrate_files){ 0 };
}

static tally_status
read_all(FILE *file, struct buf *buf)
{
	char piece[8192];
	size_t len;

	while ((len = fread(piece, 1, sizeof piece, file)) > 0) {
		tally_status status = buf_append(buf, piece, len);

		if (status != TALLY_OK)
			return status;
	}
	return ferror(file) ? TALLY_WRONG_SETTING : TALLY_OK;
}

tally_status
migrate_file_load(const char *path, struct buf *buf, struct tally_error *err)
{
	FILE *file = fopen(path, "re");
	tally_status status;

	if (!file)
		return tally_fail(err, TALLY_WRONG_SETTING, "%s: %s", path, strerror(errno));
	status = read_all(file, buf);
	if (status == TALLY_OK)
		status = buf_append(buf, "", 1);
	if (status != TALLY_OK)
		(void)tally_fail(err, status, "%s: %s", path,
				 status == TALLY_WRONG_SETTING ? strerror(errno)
							       : tally_status_title(status));
	(void)fclose(file); /* it was only read */
	if (status != TALLY_OK)
		return status;
	buf->len--;
	if (memchr(buf->data, '\0', buf->len))
		return tally_fail(err, TALLY_WRONG_DEFINITION, "%s: not a text file", path);
	return TALLY_OK;
}
