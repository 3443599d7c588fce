/* A file of settings, a file of API keys, and the secrets that sign job ids. */
#include "fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "gateway/tenants_file.h"
#include "jobs/secrets.h"

/* A file in memory with these bytes; its path. */
static void
write_file(const uint8_t *data, size_t size, char path[32])
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	FUZZ_MUST(fd >= 0 && ftruncate(fd, 0) == 0);
	FUZZ_MUST(pwrite(fd, data, size, 0) == (ssize_t)size);
	(void)snprintf(path, 32, "/proc/self/fd/%d", fd);
}

/* TALLY_X_FILE opens any file: one that does not end, or another's, is none of ours. */
static bool
names_a_file(const uint8_t *data, size_t size)
{
	return memmem(data, size, "_FILE", 5) != NULL;
}

static void
read_settings(const char *path)
{
	char *argv[] = { (char[]){ "tally" }, (char[]){ "--config" }, (char *)(uintptr_t)path,
			 NULL };
	struct config *config = NULL;
	struct tally_error err = { 0 };
	tally_status status = config_load(CONFIG_CLI, 3, argv, false, &config, &err);

	FUZZ_MUST((status == TALLY_OK) == (config != NULL));
	if (!config) {
		FUZZ_MUST(status == TALLY_WRONG_SETTING && err.detail[0]);
		return;
	}
	FUZZ_MUST(config->n_sources <= CONFIG_MAX_PAIRS
		  && config->n_properties <= CONFIG_MAX_PAIRS);
	FUZZ_MUST(config->batch_max >= 1 && config->batch_max <= 10000);
	for (size_t i = 0; i < config->n_sources; i++)
		FUZZ_MUST(config_source(config, config->sources[i].name)
			  == config->sources[i].value);
	config_free(config);
}

static void
read_tenants(const char *path)
{
	struct tenants_file *file = NULL;
	struct tally_error err = { 0 };
	tally_status status = tenants_file_read(path, &file, &err);

	FUZZ_MUST((status == TALLY_OK) == (file != NULL));
	if (!file) {
		FUZZ_MUST(status == TALLY_WRONG_SETTING);
		/* Never a word of the file: it may be a key. */
		fuzz_must_be_plain(err.detail);
		return;
	}
	FUZZ_MUST(file->n_keys > 0 && file->n_tenants > 0 && file->n_tenants <= file->n_keys);
	for (size_t i = 0; i < file->n_keys; i++)
		FUZZ_MUST(file->keys[i].tenant < file->n_tenants);
	for (size_t i = 0; i < file->n_tenants; i++)
		FUZZ_MUST(
		    tally_tenant_is_valid(file->tenants[i].name, strlen(file->tenants[i].name)));
	tenants_file_free(file);
}

static void
read_secrets(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct tally_secrets secrets;
	struct tally_error err = { 0 };

	if (job_secrets_parse(text, &secrets, &err) == TALLY_OK) {
		FUZZ_MUST(secrets.n >= 1 && secrets.n <= TALLY_SECRETS_MAX);
		for (size_t i = 0; i < secrets.n; i++)
			FUZZ_MUST(secrets.items[i].len >= JOB_SECRET_MIN_CHARS);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[32];

	write_file(data, size, path);
	if (!names_a_file(data, size))
		read_settings(path);
	read_tenants(path);
	read_secrets(data, size);
	return 0;
}
