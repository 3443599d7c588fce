/* Requests find their tenants, enter, wait and leave, while the file is read again and again with
 * other tenants, keys and limits. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tally/digest.h>

#include "base/clock.h"
#include "gateway/tenants.h"

#define CALLERS 4
#define TENANTS 3
#define RELOADS 300

static struct tenants *tenants;
static char path[] = "/tmp/tally-tenants-race-XXXXXX";
static atomic_bool is_over;
static atomic_int n_wrong;
static atomic_int n_answered;

static void
put_line(FILE *file, unsigned tenant, unsigned in_flight)
{
	unsigned char sha256[TALLY_SHA256_BYTES];
	char key[16];

	snprintf(key, sizeof key, "key%u", tenant);
	if (tally_sha256(key, strlen(key), sha256) != TALLY_OK)
		exit(1);
	fprintf(file, "tenant%u ", tenant);
	for (size_t i = 0; i < sizeof sha256; i++)
		fprintf(file, "%02x", sha256[i]);
	fprintf(file, " 100000 %u %u\n", in_flight, in_flight);
}

/* Tenant 0 always stays; the others come and go. */
static void
write_file(unsigned round)
{
	FILE *file = fopen(path, "we");

	if (!file)
		exit(1);
	for (unsigned i = 0; i < TENANTS; i++) {
		if (i == 0 || (round >> (i - 1) & 1))
			put_line(file, i, 1 + round % 3);
	}
	fclose(file);
}

static void
use(struct tenant *tenant, enum tenant_use use)
{
	struct tally_error err;
	unsigned retry_s = 0;

	if (tenant_enter(tenant, use, clock_mono_ms(), &retry_s, &err) == TALLY_OK)
		tenant_leave(tenant, use);
	else if (retry_s == 0)
		atomic_fetch_add(&n_wrong, 1);
}

static void
call(unsigned number)
{
	struct tally_error err;
	struct tenant *tenant = NULL;
	char text[32];

	snprintf(text, sizeof text, "Bearer key%u", number);
	tally_status status = tenants_find(tenants, text, &tenant, &err);
	if (status != TALLY_OK) {
		if (number == 0 || status != TALLY_UNAUTHORIZED)
			atomic_fetch_add(&n_wrong, 1);
		return;
	}
	struct tenant *again = tenant_hold(tenant);
	use(tenant, TENANT_ASK);
	tenant_drop(tenant);
	use(again, TENANT_WAIT);
	snprintf(text, sizeof text, "tenant%u", number);
	if (strcmp(tenant_name(again), text) != 0)
		atomic_fetch_add(&n_wrong, 1);
	tenant_drop(again);
	atomic_fetch_add(&n_answered, 1);
}

static void *
call_on(void *arg)
{
	unsigned number = (unsigned)(uintptr_t)arg;

	while (!atomic_load(&is_over))
		call(number++ % TENANTS);
	return NULL;
}

static void
count(void *ctx, const char *name, const struct tenant_limits *limits, size_t n_keys)
{
	size_t *n = ctx;

	*n += name[0] == 't' && limits->in_flight > 0 ? n_keys : 0;
}

int
main(void)
{
	struct tally_error err = { 0 };
	pthread_t callers[CALLERS];
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	write_file(0);
	if (tenants_new(path, &tenants, &err) != TALLY_OK)
		return 1;
	for (uintptr_t i = 0; i < CALLERS; i++)
		pthread_create(&callers[i], NULL, call_on, (void *)i);
	for (unsigned round = 0; round < RELOADS; round++) {
		size_t n = 0;

		write_file(round);
		if (tenants_reload(tenants, &err) != TALLY_OK)
			atomic_fetch_add(&n_wrong, 1);
		tenants_each(tenants, count, &n);
		if (n == 0 || n > TENANTS)
			atomic_fetch_add(&n_wrong, 1);
	}
	atomic_store(&is_over, true);
	for (size_t i = 0; i < CALLERS; i++)
		pthread_join(callers[i], NULL);
	tenants_free(tenants); /* asserts that nobody is held */
	unlink(path);
	printf("%d answered, %d wrong\n", atomic_load(&n_answered), atomic_load(&n_wrong));
	return atomic_load(&n_wrong) > 0 || atomic_load(&n_answered) == 0;
}
