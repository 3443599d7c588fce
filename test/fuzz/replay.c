/* replay.c - a target without a fuzzer: runs each file, or each file of a folder, that it is given.
 * A file that cannot be read is a failure, and so is a folder without files. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX  ((size_t)1 << 20)
#define PATH_BYTES 4096

static void
run_file(const char *path)
{
	static uint8_t input[INPUT_MAX];
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(input, 1, sizeof input, file) : 0;

	if (!file || ferror(file) || n == sizeof input) {
		(void)fprintf(stderr, "replay: %s cannot be read\n", path);
		exit(EXIT_FAILURE);
	}
	(void)fclose(file);
	uint8_t *exact = fuzz_exact(input, n);
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
}

static int
is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* How many there were. */
static int
run_folder(const char *folder)
{
	struct dirent **entries;
	char path[PATH_BYTES];
	int n = scandir(folder, &entries, is_visible, alphasort);

	for (int i = 0; i < n; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
		run_file(path);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return n;
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat about;
		int n = 1;

		if (stat(argv[i], &about) == 0 && S_ISDIR(about.st_mode))
			n = run_folder(argv[i]);
		else
			run_file(argv[i]);
		if (n <= 0) {
			(void)fprintf(stderr, "replay: nothing in %s\n", argv[i]);
			return EXIT_FAILURE;
		}
		(void)printf("%s: %d\n", argv[i], n);
	}
	return EXIT_SUCCESS;
}
