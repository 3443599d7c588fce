#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tally/digest.h>

#include "gateway/tenants.h"
#include "gateway/tenants_file.h"
#include "gateway/tenants_key.h"

static char folder[] = "/tmp/tally-tenants-XXXXXX";
static char path[64];
static struct tally_error err;
static struct tenants *tenants;

static void
start(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/keys", folder);
}

static void
end(void)
{
	tenants_free(tenants);
	(void)unlink(path);
	(void)rmdir(folder);
}

TestSuite(tenants, .init = start, .fini = end);

/* The SHA-256 of a text in hex, in one of a few static buffers. */
static const char *
hash(const char *text)
{
	static char hexes[4][65];
	static unsigned turn;
	unsigned char sha256[TALLY_SHA256_BYTES];
	char *hex = hexes[turn++ % 4];

	cr_assert_eq(tally_sha256(text, strlen(text), sha256), TALLY_OK);
	for (size_t i = 0; i < sizeof sha256; i++)
		snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
	return hex;
}

__attribute__((format(printf, 1, 2))) static void
write_file(const char *format, ...)
{
	FILE *file = fopen(path, "we");
	va_list args;

	cr_assert(file);
	va_start(args, format);
	cr_assert_geq(vfprintf(file, format, args), 0);
	va_end(args);
	cr_assert_eq(fclose(file), 0);
}

static void
open_tenants(void)
{
	tenants_free(tenants);
	tenants = NULL;
	cr_assert_eq(tenants_new(path, &tenants, &err), TALLY_OK, "%s", err.detail);
}

static void
reload(void)
{
	cr_assert_eq(tenants_reload(tenants, &err), TALLY_OK, "%s", err.detail);
}

/* The tenant of a key, held; NULL when it is refused. */
static struct tenant *
find(const char *key)
{
	struct tenant *tenant = NULL;
	char header[640];

	snprintf(header, sizeof header, "Bearer %s", key);
	tally_status status = tenants_find(tenants, header, &tenant, &err);
	cr_assert(status == TALLY_OK || status == TALLY_UNAUTHORIZED);
	cr_assert_eq(status == TALLY_OK, tenant != NULL);
	return tenant;
}

static bool
may_enter(struct tenant *tenant, enum tenant_use use, int64_t now_ms)
{
	unsigned retry_s = 0;
	tally_status status = tenant_enter(tenant, use, now_ms, &retry_s, &err);

	cr_assert(status == TALLY_OK || (status == TALLY_RATE_LIMITED && retry_s == 1));
	return status == TALLY_OK;
}

/* ---- the file ---- */

Test(tenants, a_wrong_file_is_an_error_with_its_line_that_quotes_no_word_of_it)
{
	const char *ok = hash("k");
	const struct {
		const char *text;
		const char *what;
	} cases[] = {
		{ "acme\n",								 ":1: a line is TENANT SHA256"               },
		{ "#\n\nacme %s 1 2 3 4\n",						 ":3: a line is TENANT SHA256"               },
		{ "ac/me %s\n",							     ":1: a tenant's name is"                    },
		{ "tenant-secret-secret-secret-secret-secret-secret-secret-secret-65 %s\n",
                 ":1: a tenant's name is"											       },
		{ "acme tally_secret\n",						    ":1: the SHA-256 of a key is 64 hex digits" },
		{ "acme %s0\n",							     ":1: the SHA-256 of a key is 64 hex digits" },
		{ "acme %.63s\n",							   ":1: the SHA-256 of a key is 64 hex digits" },
		{ "acme %.63sg\n",							  ":1: the SHA-256 of a key is 64 hex digits" },
		{ "acme %s -1\n",							   ":1: a limit is a whole number"             },
		{ "acme %s 1 +1\n",							 ":1: a limit is a whole number"             },
		{ "acme %s 1 1 1000001\n",						  ":1: a limit is a whole number"             },
		{ "acme %s 99999999999999999999\n",                                         ":1: a limit is a whole number"             },
		{ "acme %s 1.5\n",							  ":1: a limit is a whole number"             },
		{ "acme %s 1x\n",							   ":1: a limit is a whole number"             },
		{ "acme %1$s\n\nother %1$s\n",                                              ":3: this key stands on line 1 already"     },
		{ "acme %s %01000d\n",						      ":1: the line is too long"                  },
		{ "",								       ": there is no key in it"                   },
		{ "# nothing yet\n",							": there is no key in it"                   },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char expected[256];
		struct tenants *none = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		write_file(cases[i].text, ok, 7);
#pragma GCC diagnostic pop
		cr_expect_eq(tenants_new(path, &none, &err), TALLY_WRONG_SETTING, "case %zu", i);
		cr_expect_null(none);
		snprintf(expected, sizeof expected, "%s%s", path, cases[i].what);
		cr_expect_eq(strncmp(err.detail, expected, strlen(expected)), 0, "case %zu: %s", i,
			     err.detail);
		cr_expect_null(strstr(err.detail, "secret"), "case %zu: %s", i, err.detail);
		cr_expect_null(strstr(err.detail, ok), "case %zu: %s", i, err.detail);
	}
}

Test(tenants, a_file_that_cannot_be_read_is_a_wrong_setting_that_names_it)
{
	const char *const paths[] = { folder, path };

	for (size_t i = 0; i < 2; i++) {
		struct tenants *none = NULL;

		cr_expect_eq(tenants_new(paths[i], &none, &err), TALLY_WRONG_SETTING);
		cr_expect_eq(strncmp(err.detail, paths[i], strlen(paths[i])), 0, "%s", err.detail);
	}
}

Test(tenants, more_keys_than_there_may_be_are_an_error)
{
	FILE *file = fopen(path, "we");
	struct tenants *none = NULL;

	cr_assert(file);
	for (int i = 0; i <= TENANTS_MAX_KEYS; i++)
		cr_assert_geq(fprintf(file, "t%d %064x\n", i, i), 0);
	cr_assert_eq(fclose(file), 0);
	cr_expect_eq(tenants_new(path, &none, &err), TALLY_WRONG_SETTING);
	cr_expect(strstr(err.detail, ":4097: there are more than 4096 keys"), "%s", err.detail);
}

struct seen {
	size_t n;
	char text[512];
};

static void
see(void *ctx, const char *name, const struct tenant_limits *limits, size_t n_keys)
{
	struct seen *seen = ctx;
	size_t used = strlen(seen->text);

	seen->n++;
	snprintf(seen->text + used, sizeof seen->text - used, "%s %u %u %u %zu;", name,
		 limits->requests_a_second, limits->in_flight, limits->waiting, n_keys);
}

Test(tenants, limits_are_those_of_a_tenants_last_line_that_gives_them)
{
	struct seen seen = { 0 };

	write_file("# of ours\n"
		   "acme\t%s 5 6 7   # the first\r\n"
		   "  zeta %s\n"
		   "acme %s 50\n"
		   "acme %s#the last",
		   hash("a"), hash("z"), hash("b"), hash("c"));
	open_tenants();
	tenants_each(tenants, see, &seen);
	cr_expect_str_eq(seen.text, "acme 50 0 0 3;zeta 0 0 0 1;");
}

/* ---- keys ---- */

Test(tenants, every_key_of_a_tenant_finds_it_and_nothing_else_does)
{
	static const struct {
		const char *header;
		const char *tenant; /* NULL: refused */
	} cases[] = {
		{ "Bearer a",     "acme" },
                { "Bearer b",     "acme" },
		{ "Bearer z",     "zeta" },
                { "bearer   z  ", "zeta" },
		{ "BEARER\tz",    NULL   },
                { "Bearer A",     NULL   },
		{ "Bearer az",    NULL   },
                { "Bearer",       NULL   },
		{ "Bearer ",      NULL   },
                { "Bearer  \t",   NULL   },
		{ "Bearerz",      NULL   },
                { "Basic z",      NULL   },
		{ "z",            NULL   },
                { "",             NULL   },
		{ NULL,           NULL   },
	};

	write_file("acme %s\nzeta %s\nacme %s\n", hash("a"), hash("z"), hash("b"));
	open_tenants();
	cr_expect(tenants_have_keys(tenants));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct tenant *tenant = NULL;
		tally_status status = tenants_find(tenants, cases[i].header, &tenant, &err);

		cr_expect_eq(status, cases[i].tenant ? TALLY_OK : TALLY_UNAUTHORIZED, "case %zu",
			     i);
		if (tenant)
			cr_expect_str_eq(tenant_name(tenant), cases[i].tenant, "case %zu", i);
		tenant_drop(tenant);
	}
}

Test(tenants, a_hash_in_capitals_is_the_same_and_the_hash_itself_is_no_key)
{
	char capitals[65];
	const char *small = hash("key");

	for (size_t i = 0; i < sizeof capitals; i++)
		capitals[i] = small[i] >= 'a' ? (char)(small[i] - 'a' + 'A') : small[i];
	write_file("acme %s\n", capitals);
	open_tenants();
	struct tenant *tenant = find("key");
	cr_assert(tenant);
	tenant_drop(tenant);
	cr_expect_null(find(small));
}

Test(tenants, a_key_of_any_allowed_length_is_taken_and_a_longer_one_refused)
{
	char key[514];

	memset(key, 'k', sizeof key);
	key[512] = '\0';
	write_file("acme %s\n", hash(key));
	open_tenants();
	struct tenant *tenant = find(key);
	cr_assert(tenant);
	tenant_drop(tenant);
	key[512] = 'k';
	key[513] = '\0';
	write_file("acme %s\n", hash(key));
	open_tenants();
	cr_expect_null(find(key));
}

Test(tenants, without_a_file_everybody_is_default_and_unlimited)
{
	static const char *const headers[] = { NULL, "", "Bearer x", "Basic eDp5" };
	struct tenant *tenant = NULL;

	for (int i = 0; i < 2; i++) {
		tenants_free(tenants);
		cr_assert_eq(tenants_new(i == 0 ? NULL : "", &tenants, &err), TALLY_OK);
		cr_expect_not(tenants_have_keys(tenants));
		reload();
	}
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		cr_assert_eq(tenants_find(tenants, headers[i], &tenant, &err), TALLY_OK);
		cr_expect_str_eq(tenant_name(tenant), "default");
		tenant_drop(tenant);
	}
	cr_assert_eq(tenants_find(tenants, NULL, &tenant, &err), TALLY_OK);
	for (int i = 0; i < 100000; i++)
		cr_assert(may_enter(tenant, i % 2 ? TENANT_ASK : TENANT_WAIT, 0));
	tenant_drop(tenant);
}

Test(tenants, hashes_are_equal_only_when_every_bit_is)
{
	unsigned char a[TALLY_SHA256_BYTES] = { 0 };
	unsigned char b[TALLY_SHA256_BYTES] = { 0 };

	cr_expect_eq(tenants_key_mask(a, b), SIZE_MAX);
	for (size_t bit = 0; bit < sizeof a * 8; bit++) {
		b[bit / 8] ^= (unsigned char)(1u << bit % 8);
		cr_expect_eq(tenants_key_mask(a, b), 0, "bit %zu", bit);
		b[bit / 8] = 0;
	}
	memset(b, 255, sizeof b);
	cr_expect_eq(tenants_key_mask(a, b), 0);
	memset(a, 255, sizeof a);
	cr_expect_eq(tenants_key_mask(a, b), SIZE_MAX);
}

Test(tenants, a_made_key_is_new_each_time_and_its_hash_lets_it_in)
{
	char key[TENANT_KEY_CHARS + 1], before[TENANT_KEY_CHARS + 1] = "";
	char sha256[65];

	for (int i = 0; i < 100; i++) {
		cr_assert_eq(tenant_key_make(key, sha256), TALLY_OK);
		cr_expect_eq(strlen(key), TENANT_KEY_CHARS);
		cr_expect_eq(strncmp(key, "tally_", 6), 0);
		cr_expect_eq(strspn(key + 6, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					     "0123456789-_"),
			     43);
		cr_expect_str_eq(sha256, hash(key));
		cr_expect_str_neq(key, before);
		snprintf(before, sizeof before, "%s", key);
	}
	write_file("acme %s\n", sha256);
	open_tenants();
	struct tenant *tenant = find(key);
	cr_assert(tenant);
	tenant_drop(tenant);
}

/* ---- limits ---- */

Test(tenants, requests_a_second_are_a_burst_of_as_many_and_then_an_even_flow)
{
	int64_t now_ms = 5000000;

	write_file("acme %s 10\n", hash("a"));
	open_tenants();
	struct tenant *tenant = find("a");
	cr_assert(tenant);
	for (int i = 0; i < 10; i++)
		cr_expect(may_enter(tenant, TENANT_ASK, now_ms), "%d", i);
	cr_expect_not(may_enter(tenant, TENANT_ASK, now_ms));
	cr_expect(strstr(err.detail, "10 times a second"), "%s", err.detail);
	cr_expect_not(may_enter(tenant, TENANT_ASK, now_ms + 99));
	cr_expect(may_enter(tenant, TENANT_ASK, now_ms + 100));
	cr_expect_not(may_enter(tenant, TENANT_ASK, now_ms + 100));
	/* A clock that was read earlier neither fills nor empties anything. */
	cr_expect_not(may_enter(tenant, TENANT_ASK, now_ms));
	cr_expect_not(may_enter(tenant, TENANT_ASK, now_ms + 199));
	cr_expect(may_enter(tenant, TENANT_ASK, now_ms + 200));
	/* Silence saves a second's worth, not more. */
	now_ms += 3600000;
	for (int i = 0; i < 10; i++)
		cr_expect(may_enter(tenant, TENANT_ASK, now_ms), "%d", i);
	cr_expect_not(may_enter(tenant, TENANT_ASK, now_ms));
	tenant_drop(tenant);
}

Test(tenants, over_a_minute_no_more_are_let_in_than_the_rate_and_one_burst)
{
	static const unsigned rates[] = { 1, 3, 7, 250, 999, 1000, 4001 };

	for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
		unsigned n = 0;

		write_file("acme %s %u\n", hash("a"), rates[r]);
		open_tenants();
		struct tenant *tenant = find("a");
		cr_assert(tenant);
		for (int64_t now_ms = 0; now_ms < 60000; now_ms++) {
			while (may_enter(tenant, TENANT_ASK, now_ms))
				n++;
		}
		/* The first second's burst is there at once, and 59.999 s flow in. */
		cr_expect_leq(n, 61 * rates[r]);
		cr_expect_geq(n, 60 * rates[r]);
		tenant_drop(tenant);
	}
}

Test(tenants, waiting_and_in_flight_have_a_limit_each_that_leaving_gives_back)
{
	write_file("acme %s 0 2 1\nzeta %s\n", hash("a"), hash("z"));
	open_tenants();
	struct tenant *tenant = find("a");
	struct tenant *other = find("z");
	cr_assert(tenant && other);
	for (int round = 0; round < 3; round++) {
		cr_expect(may_enter(tenant, TENANT_ASK, 0));
		cr_expect(may_enter(tenant, TENANT_ASK, 0));
		cr_expect_not(may_enter(tenant, TENANT_ASK, 0));
		cr_expect(strstr(err.detail, "2 requests of this caller are in flight"), "%s",
			  err.detail);
		cr_expect(may_enter(tenant, TENANT_WAIT, 0));
		cr_expect_not(may_enter(tenant, TENANT_WAIT, 0));
		cr_expect(strstr(err.detail, "1 requests of this caller are waiting"), "%s",
			  err.detail);
		cr_expect(may_enter(other, TENANT_ASK, 0));
		tenant_leave(tenant, TENANT_ASK);
		cr_expect(may_enter(tenant, TENANT_ASK, 0));
		tenant_leave(tenant, TENANT_WAIT);
		cr_expect(may_enter(tenant, TENANT_WAIT, 0));
		tenant_leave(tenant, TENANT_WAIT);
		tenant_leave(tenant, TENANT_ASK);
		tenant_leave(tenant, TENANT_ASK);
	}
	tenant_drop(tenant);
	tenant_drop(other);
}

Test(tenants, limits_count_for_a_tenant_whichever_of_its_keys_is_used)
{
	write_file("acme %s 0 1\nacme %s\n", hash("a"), hash("b"));
	open_tenants();
	struct tenant *first = find("a");
	struct tenant *second = find("b");
	cr_assert(first && second);
	cr_expect_eq(first, second);
	cr_expect(may_enter(first, TENANT_ASK, 0));
	cr_expect_not(may_enter(second, TENANT_ASK, 0));
	tenant_leave(first, TENANT_ASK);
	tenant_drop(first);
	tenant_drop(second);
}

Test(tenants, a_request_that_is_refused_takes_no_token)
{
	write_file("acme %s 2 1\n", hash("a"));
	open_tenants();
	struct tenant *tenant = find("a");
	cr_assert(tenant);
	cr_expect(may_enter(tenant, TENANT_ASK, 0));
	for (int i = 0; i < 5; i++)
		cr_expect_not(may_enter(tenant, TENANT_ASK, 0));
	tenant_leave(tenant, TENANT_ASK);
	cr_expect(may_enter(tenant, TENANT_ASK, 0));
	tenant_leave(tenant, TENANT_ASK);
	tenant_drop(tenant);
}

/* ---- reload ---- */

Test(tenants, a_reload_adds_and_removes_keys_at_once_and_keeps_the_rest)
{
	static const struct {
		const char *key;
		const char *before, *after; /* NULL: refused */
	} cases[] = {
		{ "a1", "acme", "acme"     },
                { "a2", "acme", NULL       },
                { "a3", NULL,   "acme"     },
		{ "z",  "zeta", NULL       },
                { "n",  NULL,   "newcomer" },
                { "m",  "acme", "moved"    },
	};

	write_file("acme %s\nacme %s\nzeta %s\nacme %s\n", hash("a1"), hash("a2"), hash("z"),
		   hash("m"));
	open_tenants();
	for (int is_after = 0; is_after < 2; is_after++) {
		for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
			const char *name = is_after ? cases[i].after : cases[i].before;
			struct tenant *tenant = find(cases[i].key);

			cr_expect_eq(tenant != NULL, name != NULL, "case %zu", i);
			if (tenant)
				cr_expect_str_eq(tenant_name(tenant), name, "case %zu", i);
			tenant_drop(tenant);
		}
		write_file("acme %s\nacme %s\nnewcomer %s\nmoved %s\n", hash("a1"), hash("a3"),
			   hash("n"), hash("m"));
		reload();
	}
}

Test(tenants, a_reload_keeps_the_counters_of_who_stays_and_takes_the_new_limits)
{
	write_file("acme %s 10 2 1\n", hash("a"));
	open_tenants();
	struct tenant *tenant = find("a");
	cr_assert(tenant);
	for (int i = 0; i < 2; i++)
		cr_expect(may_enter(tenant, TENANT_ASK, 0));
	cr_expect(may_enter(tenant, TENANT_WAIT, 0));
	write_file("acme %s 3 3 1\n", hash("another"));
	reload();
	struct tenant *same = find("another");
	cr_expect_eq(same, tenant);
	cr_expect_null(find("a"));
	cr_expect_not(may_enter(same, TENANT_WAIT, 0));
	cr_expect(may_enter(same, TENANT_ASK, 0));
	cr_expect_not(may_enter(same, TENANT_ASK, 0)); /* three are in flight */
	for (int i = 0; i < 3; i++)
		tenant_leave(same, TENANT_ASK);
	tenant_leave(same, TENANT_WAIT);
	/* Of ten tokens seven were left; the new rate keeps three, and one was taken since. */
	cr_expect(may_enter(same, TENANT_ASK, 0));
	cr_expect(may_enter(same, TENANT_ASK, 0));
	cr_expect_not(may_enter(same, TENANT_ASK, 0));
	tenant_leave(same, TENANT_ASK);
	tenant_leave(same, TENANT_ASK);
	tenant_drop(same);
	tenant_drop(tenant);
}

Test(tenants, a_broken_file_leaves_the_old_keys_and_limits_in_force)
{
	static const char *const broken[] = { "acme nonsense\n", "", "acme" };

	write_file("acme %s 0 1\n", hash("a"));
	open_tenants();
	struct tenant *tenant = find("a");
	cr_assert(tenant);
	cr_expect(may_enter(tenant, TENANT_ASK, 0));
	for (size_t i = 0; i <= sizeof broken / sizeof *broken; i++) {
		if (i < sizeof broken / sizeof *broken)
			write_file("acme %s 0 100\n%s", hash("b"), broken[i]);
		else
			cr_assert_eq(unlink(path), 0);
		if (i == 1) /* the whole file is empty */
			write_file("%s", broken[i]);
		cr_expect_eq(tenants_reload(tenants, &err), TALLY_WRONG_SETTING, "case %zu", i);
		cr_expect_null(find("b"));
		struct tenant *same = find("a");
		cr_expect_eq(same, tenant);
		cr_expect_not(may_enter(tenant, TENANT_ASK, 0));
		tenant_drop(same);
	}
	tenant_leave(tenant, TENANT_ASK);
	tenant_drop(tenant);
}

Test(tenants, a_removed_tenant_stays_valid_for_who_holds_it_and_is_the_same_when_it_returns)
{
	write_file("acme %s 0 1\nzeta %s\n", hash("a"), hash("z"));
	open_tenants();
	struct tenant *tenant = find("a");
	cr_assert(tenant);
	cr_expect(may_enter(tenant, TENANT_ASK, 0));
	write_file("zeta %s\n", hash("z"));
	reload();
	reload();
	cr_expect_null(find("a"));
	cr_expect_str_eq(tenant_name(tenant), "acme");
	cr_expect_not(may_enter(tenant, TENANT_ASK, 0));
	write_file("acme %s 0 1\nzeta %s\n", hash("a"), hash("z"));
	reload();
	struct tenant *back = find("a");
	cr_expect_eq(back, tenant);
	cr_expect_not(may_enter(back, TENANT_ASK, 0));
	tenant_leave(tenant, TENANT_ASK);
	cr_expect_eq(tenant_hold(tenant), tenant);
	tenant_drop(tenant);
	tenant_drop(tenant);
	cr_expect(may_enter(back, TENANT_ASK, 0));
	tenant_leave(back, TENANT_ASK);
	tenant_drop(back);
}

Test(tenants, a_removed_tenant_that_nobody_holds_is_forgotten)
{
	write_file("acme %s 5\nzeta %s\n", hash("a"), hash("z"));
	open_tenants();
	struct tenant *tenant = find("a");
	cr_assert(tenant);
	for (int i = 0; i < 5; i++) {
		cr_expect(may_enter(tenant, TENANT_ASK, 0));
		tenant_leave(tenant, TENANT_ASK);
	}
	cr_expect_not(may_enter(tenant, TENANT_ASK, 0));
	tenant_drop(tenant);
	write_file("zeta %s\n", hash("z"));
	reload();
	write_file("acme %s 5\n", hash("a"));
	reload();
	tenant = find("a");
	cr_assert(tenant);
	cr_expect(may_enter(tenant, TENANT_ASK, 0));
	tenant_leave(tenant, TENANT_ASK);
	tenant_drop(tenant);
}

/* Behind a NUL there may be a limit, or another key. */
Test(tenants, takes_no_nul_byte_in_the_file)
{
	char line[160];
	struct tenants *none = NULL;
	FILE *file = fopen(path, "we");
	int len = snprintf(line, sizeof line, "acme %s%c 5\nother %s\n", hash("a"), 0, hash("b"));

	cr_assert(file);
	cr_assert_eq(fwrite(line, 1, (size_t)len, file), (size_t)len);
	cr_assert_eq(fclose(file), 0);
	cr_expect_eq(tenants_new(path, &none, &err), TALLY_WRONG_SETTING);
	cr_expect(strstr(err.detail, ":1: the line has a NUL byte"), "%s", err.detail);
}
