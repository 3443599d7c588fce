/* Who asks: the keys that are in force are an unchanging table that a reload replaces as a whole;
 * who searches one holds it.  Tenants outlive tables: they are kept in a list as long as a table
 * or a request holds them, so that a reload finds the counters of those who stay. */
#include "gateway/tenants.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/own.h"
#include "gateway/tenants_file.h"
#include "gateway/tenants_key.h"

#define DEFAULT_TENANT "default"
#define WHOLE          1000 /* tokens of a request: N a second are N tokens a millisecond */
#define SECOND_MS      1000

struct tenant {
	struct tenants *owner;
	size_t n_holds; /* guarded by owner->lock */
	LIST_ENTRY(tenant) living;
	char name[TALLY_TENANT_MAX + 1];
	pthread_mutex_t lock; /* guards what follows */
	struct tenant_limits limits;
	int64_t tokens;
	int64_t filled_ms;
	uint32_t n_in_flight;
	uint32_t n_waiting;
};

struct key {
	unsigned char sha256[TALLY_SHA256_BYTES];
	size_t member; /* of the same table */
};

struct member {
	struct tenant *tenant;
	struct tenant_limits limits;
	size_t n_keys;
};

/* What is in force.  It never changes; n_holds is guarded by tenants->lock. */
struct table {
	size_t n_holds;
	struct member *members; /* the table holds each tenant */
	size_t n_members;
	struct key *keys;
	size_t n_keys;
};

struct tenants {
	char *path; /* "": everybody is "default" */
	pthread_mutex_t lock;
	LIST_HEAD(, tenant) living;
	struct table *table;
};

/* ---- tenants ---- */

static struct tenant *
tenant_new(struct tenants *owner, const char *name, const struct tenant_limits *limits)
{
	struct tenant *tenant = calloc(1, sizeof *tenant);

	if (!tenant)
		return NULL;
	tenant->owner = owner;
	tenant->n_holds = 1;
	tenant->limits = *limits;
	tenant->filled_ms = -SECOND_MS; /* so that its first request finds all tokens */
	snprintf(tenant->name, sizeof tenant->name, "%s", name);
	pthread_mutex_init(&tenant->lock, NULL);
	return tenant;
}

static void
tenant_free(struct tenant *tenant)
{
	pthread_mutex_destroy(&tenant->lock);
	free(tenant);
}

/* With the owner's lock held. */
static void
drop_locked(struct tenant *tenant)
{
	if (--tenant->n_holds > 0)
		return;
	LIST_REMOVE(tenant, living);
	tenant_free(tenant);
}

struct tenant *
tenant_hold(struct tenant *tenant)
{
	pthread_mutex_lock(&tenant->owner->lock);
	tenant->n_holds++;
	pthread_mutex_unlock(&tenant->owner->lock);
	return tenant;
}

void
tenant_drop(struct tenant *tenant)
{
	if (!tenant)
		return;
	struct tenants *owner = tenant->owner;
	pthread_mutex_lock(&owner->lock);
	drop_locked(tenant);
	pthread_mutex_unlock(&owner->lock);
}

const char *
tenant_name(const struct tenant *tenant)
{
	return tenant->name;
}

/* ---- limits ---- */

/* Adds the tokens of the time that has passed, up to those of a second. */
static void
refill(struct tenant *tenant, int64_t now_ms)
{
	int64_t rate = tenant->limits.requests_a_second;
	int64_t passed_ms = now_ms - tenant->filled_ms;

	if (passed_ms > 0) /* threads do not read the clock in order */
		tenant->filled_ms = now_ms;
	if (passed_ms < 0)
		passed_ms = 0;
	if (passed_ms > SECOND_MS)
		passed_ms = SECOND_MS;
	tenant->tokens += passed_ms * rate;
	if (tenant->tokens > WHOLE * rate)
		tenant->tokens = WHOLE * rate;
}

/* In how many seconds there will be a token, at least 1. */
static unsigned
seconds_to_token(const struct tenant *tenant)
{
	int64_t rate = tenant->limits.requests_a_second;
	int64_t wait_ms = (WHOLE - tenant->tokens + rate - 1) / rate;

	return (unsigned)((wait_ms + SECOND_MS - 1) / SECOND_MS);
}

/* With the tenant's lock held, like the next. */
static tally_status
enter_ask(struct tenant *tenant, int64_t now_ms, unsigned *out_retry_s, struct tally_error *err)
{
	const struct tenant_limits *limits = &tenant->limits;

	if (limits->in_flight > 0 && tenant->n_in_flight >= limits->in_flight) {
		*out_retry_s = 1;
		return tally_fail(err, TALLY_RATE_LIMITED,
				  "%u requests of this caller are in flight, which is its limit",
				  limits->in_flight);
	}
	if (limits->requests_a_second > 0) {
		refill(tenant, now_ms);
		if (tenant->tokens < WHOLE) {
			*out_retry_s = seconds_to_token(tenant);
			return tally_fail(err, TALLY_RATE_LIMITED,
					  "this caller may ask %u times a second",
					  limits->requests_a_second);
		}
		tenant->tokens -= WHOLE;
	}
	tenant->n_in_flight++;
	return TALLY_OK;
}

static tally_status
enter_wait(struct tenant *tenant, unsigned *out_retry_s, struct tally_error *err)
{
	if (tenant->limits.waiting > 0 && tenant->n_waiting >= tenant->limits.waiting) {
		*out_retry_s = 1;
		return tally_fail(err, TALLY_RATE_LIMITED,
				  "%u requests of this caller are waiting, which is its limit",
				  tenant->limits.waiting);
	}
	tenant->n_waiting++;
	return TALLY_OK;
}

tally_status
tenant_enter(struct tenant *tenant, enum tenant_use use, int64_t now_ms, unsigned *out_retry_s,
	     struct tally_error *err)
{
	pthread_mutex_lock(&tenant->lock);
	tally_status status = use == TENANT_ASK ? enter_ask(tenant, now_ms, out_retry_s, err)
						: enter_wait(tenant, out_retry_s, err);
	pthread_mutex_unlock(&tenant->lock);
	return status;
}

void
tenant_leave(struct tenant *tenant, enum tenant_use use)
{
	uint32_t *n = use == TENANT_ASK ? &tenant->n_in_flight : &tenant->n_waiting;

	pthread_mutex_lock(&tenant->lock);
	assert(*n > 0);
	--*n;
	pthread_mutex_unlock(&tenant->lock);
}

/* ---- tables ---- */

/* Frees a table whose tenants are let go of, or were never held. */
static void
table_free(struct table *table)
{
	if (!table)
		return;
	free(table->members);
	free(table->keys);
	free(table);
}

static struct table *
table_hold(struct tenants *tenants)
{
	pthread_mutex_lock(&tenants->lock);
	struct table *table = tenants->table;
	table->n_holds++;
	pthread_mutex_unlock(&tenants->lock);
	return table;
}

static void
table_drop(struct tenants *tenants, struct table *table)
{
	pthread_mutex_lock(&tenants->lock);
	bool is_last = --table->n_holds == 0;
	for (size_t i = 0; is_last && i < table->n_members; i++)
		drop_locked(table->members[i].tenant);
	pthread_mutex_unlock(&tenants->lock);
	if (is_last)
		table_free(table);
}

static struct table *
table_new(size_t n_members, size_t n_keys)
{
	struct table *table = calloc(1, sizeof *table);

	if (!table)
		return NULL;
	table->n_holds = 1;
	table->members = calloc(n_members, sizeof *table->members);
	table->keys = calloc(n_keys > 0 ? n_keys : 1, sizeof *table->keys);
	if (table->members && table->keys)
		return table;
	table_free(table);
	return NULL;
}

/* Adds a tenant of its own to the table; nobody else sees it yet. */
static bool
table_add(struct table *table, struct tenants *tenants, const struct tenants_file_tenant *from)
{
	struct tenant *tenant = tenant_new(tenants, from->name, &from->limits);

	if (!tenant)
		return false;
	table->members[table->n_members++] = (struct member){ tenant, from->limits, from->n_keys };
	return true;
}

/* A table that is not in force: none of its tenants is in the list. */
static void
table_discard(struct table *table)
{
	for (size_t i = 0; table && i < table->n_members; i++)
		tenant_free(table->members[i].tenant);
	table_free(table);
}

static struct table *
table_from(struct tenants *tenants, const struct tenants_file *file)
{
	struct table *table = table_new(file->n_tenants, file->n_keys);
	bool is_complete = table != NULL;

	for (size_t i = 0; is_complete && i < file->n_tenants; i++)
		is_complete = table_add(table, tenants, &file->tenants[i]);
	if (!is_complete) {
		table_discard(table);
		return NULL;
	}
	for (size_t i = 0; i < file->n_keys; i++) {
		memcpy(table->keys[i].sha256, file->keys[i].sha256, TALLY_SHA256_BYTES);
		table->keys[i].member = file->keys[i].tenant;
	}
	table->n_keys = file->n_keys;
	return table;
}

static struct tenant *
find_living(struct tenants *tenants, const char *name)
{
	struct tenant *tenant;

	LIST_FOREACH (tenant, &tenants->living, living) {
		if (strcmp(tenant->name, name) == 0)
			return tenant;
	}
	return NULL;
}

/* Puts the living tenant of the same name, if there is one, in the place of a new one. */
static void
settle(struct tenants *tenants, struct member *member)
{
	struct tenant *fresh = member->tenant;
	struct tenant *old = find_living(tenants, fresh->name);

	if (!old) {
		LIST_INSERT_HEAD(&tenants->living, fresh, living);
		return;
	}
	old->n_holds++;
	pthread_mutex_lock(&old->lock);
	old->limits = member->limits;
	pthread_mutex_unlock(&old->lock);
	member->tenant = old;
	tenant_free(fresh);
}

/* Puts a table in force.  Nothing here can fail. */
static void
enforce(struct tenants *tenants, struct table *table)
{
	pthread_mutex_lock(&tenants->lock);
	struct table *old = tenants->table;
	for (size_t i = 0; i < table->n_members; i++)
		settle(tenants, &table->members[i]);
	tenants->table = table;
	pthread_mutex_unlock(&tenants->lock);
	if (old)
		table_drop(tenants, old);
}

/* ---- all of them ---- */

OWN_DEFINE(tenants);
OWN_DEFINE(tenants_file);

static tally_status
enforce_file(struct tenants *tenants, const struct tenants_file *file, struct tally_error *err)
{
	struct table *table = table_from(tenants, file);

	if (!table)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	enforce(tenants, table);
	return TALLY_OK;
}

tally_status
tenants_reload(struct tenants *tenants, struct tally_error *err)
{
	struct tenants_file_tenant everybody = { .name = DEFAULT_TENANT };
	const struct tenants_file nobody = { .tenants = &everybody, .n_tenants = 1 };
	OWN(tenants_file) file = NULL;

	if (tenants->path[0] == '\0')
		return enforce_file(tenants, &nobody, err);
	tally_status status = tenants_file_read(tenants->path, &file, err);
	return status == TALLY_OK ? enforce_file(tenants, file, err) : status;
}

tally_status
tenants_new(const char *path, struct tenants **out_tenants, struct tally_error *err)
{
	OWN(tenants) tenants = calloc(1, sizeof *tenants);

	if (!tenants)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	LIST_INIT(&tenants->living);
	pthread_mutex_init(&tenants->lock, NULL);
	tenants->path = strdup(path ? path : "");
	if (!tenants->path)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	tally_status status = tenants_reload(tenants, err);
	if (status == TALLY_OK)
		*out_tenants = TAKE(tenants);
	return status;
}

void
tenants_free(struct tenants *tenants)
{
	if (!tenants)
		return;
	if (tenants->table)
		table_drop(tenants, tenants->table);
	assert(LIST_EMPTY(&tenants->living));
	pthread_mutex_destroy(&tenants->lock);
	free(tenants->path);
	free(tenants);
}

bool
tenants_have_keys(struct tenants *tenants)
{
	return tenants->path[0] != '\0';
}

void
tenants_each(struct tenants *tenants, tenants_each_fn *each, void *ctx)
{
	struct table *table = table_hold(tenants);

	for (size_t i = 0; i < table->n_members; i++) {
		const struct member *member = &table->members[i];
		each(ctx, member->tenant->name, &member->limits, member->n_keys);
	}
	table_drop(tenants, table);
}

/* ---- keys ---- */

/* The number of the key with this hash, from 1; 0 without one.  Always looks at all of them: how
 * long it takes says nothing of which key comes near. */
static size_t
search(const struct table *table, const unsigned char sha256[TALLY_SHA256_BYTES])
{
	size_t found = 0;

	for (size_t i = 0; i < table->n_keys; i++)
		found |= (i + 1) & tenants_key_mask(table->keys[i].sha256, sha256);
	return found;
}

static tally_status
find_key(struct tenants *tenants, const unsigned char *sha256, struct tenant **out_tenant,
	 struct tally_error *err)
{
	struct table *table = table_hold(tenants);
	size_t found = search(table, sha256);

	if (found > 0)
		*out_tenant = tenant_hold(table->members[table->keys[found - 1].member].tenant);
	table_drop(tenants, table);
	return found > 0 ? TALLY_OK : tally_fail(err, TALLY_UNAUTHORIZED, "this key is not valid");
}

static tally_status
find_default(struct tenants *tenants, struct tenant **out_tenant)
{
	struct table *table = table_hold(tenants);

	*out_tenant = tenant_hold(table->members[0].tenant);
	table_drop(tenants, table);
	return TALLY_OK;
}

tally_status
tenants_find(struct tenants *tenants, const char *authorization, struct tenant **out_tenant,
	     struct tally_error *err)
{
	unsigned char sha256[TALLY_SHA256_BYTES];
	const char *key;
	size_t len;

	if (!tenants_have_keys(tenants))
		return find_default(tenants, out_tenant);
	if (!authorization || !tenants_key_read(authorization, &key, &len))
		return tally_fail(err, TALLY_UNAUTHORIZED,
				  "a key is needed: Authorization: Bearer KEY");
	if (tally_sha256(key, len, sha256) != TALLY_OK)
		return tally_fail(err, TALLY_INTERNAL_ERROR, "a SHA-256 cannot be made");
	return find_key(tenants, sha256, out_tenant, err);
}
