/* ch_settings.h - what a URL says of a ClickHouse: where it is, who asks, and the settings that go
 * with every query.
 *
 *   clickhouse://user:password@host:8123/database?secure=1&verify=0&ca_cert=FILE&max_threads=4
 *
 * secure=1 is TLS, and port 8443 without another one; verify=0 takes any certificate, ca_cert
 * names the file of those to trust. Every other word is a setting of ClickHouse and wins over
 * ours, which are: read only, UTC, end what runs for a client that has gone, and answer only when
 * the query is over, so that a failure is never behind half a result. A "+driver" after the scheme
 * is ignored. Immutable; any thread. */
#ifndef SOURCE_CH_SETTINGS_H
#define SOURCE_CH_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include <curl/curl.h>

#include <tally/status.h>

/* What the queries are for. */
enum ch_use {
	CH_READS, /* rows of a dataset: read only, a query of ours is one of many */
	CH_WRITES /* migrations and copies */
};

struct ch_settings {
	char *url;                  /* http://host:port/?setting=value&... */
	struct curl_slist *headers; /* user, password, database, format */
	char *ca_cert;              /* NULL: those of the system */
	bool is_verified;
};

/* Whether a URL's scheme is that of ClickHouse. */
bool ch_settings_is_url(const char *url);

/* Parses a URL; name is that of the database for errors, which never quote the URL: it has a
 * password.  TALLY_WRONG_SETTING, TALLY_NO_MEMORY.  The caller calls ch_settings_fini, also on
 * failure. */
TALLY_MUST_CHECK tally_status ch_settings_init(struct ch_settings *settings, const char *name,
					       const char *url, enum ch_use use,
					       struct tally_error *err);

/* Frees what the settings hold; accepts zeroed ones. */
void ch_settings_fini(struct ch_settings *settings);

/* Sets what is the same in every call on an easy handle: TLS, no signals, no proxy.  The settings
 * outlive the handle.  TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status ch_settings_apply(const struct ch_settings *settings, CURL *easy);

#endif
