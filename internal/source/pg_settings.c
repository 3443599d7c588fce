#include "source/pg_settings.h"

#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#define CHECK_INTERVAL "client_connection_check_interval"

/* Where the part after "postgresql+psycopg2" or "postgres" begins: "://..."; NULL for others. */
static const char *
after_scheme(const char *url)
{
	static const char *const schemes[] = { "postgresql", "postgres" };
	const char *end = strstr(url, "://");

	for (size_t i = 0; end && i < sizeof schemes / sizeof *schemes; i++) {
		size_t len = strlen(schemes[i]);

		if (strncmp(url, schemes[i], len) == 0
		    && (url + len == end || (url[len] == '+' && url + len < end)))
			return end;
	}
	return NULL;
}

/* The options in the URL, which go behind ours so that they win; the caller frees them. */
static char *
take_options(PQconninfoOption *parsed)
{
	for (PQconninfoOption *option = parsed; option->keyword; option++) {
		if (strcmp(option->keyword, "options") == 0 && option->val)
			return strdup(option->val);
	}
	return strdup("");
}

static tally_status
parse_url(struct pg_settings *settings, const char *url, char **out_options)
{
	const char *rest = after_scheme(url);
	PQconninfoOption *parsed;

	if (!rest)
		return TALLY_WRONG_SETTING;
	if (asprintf(&settings->url, "postgresql%s", rest) < 0) {
		settings->url = NULL;
		return TALLY_NO_MEMORY;
	}
	parsed = PQconninfoParse(settings->url, NULL);
	if (!parsed)
		return TALLY_WRONG_SETTING;
	*out_options = take_options(parsed);
	PQconninfoFree(parsed);
	return *out_options ? TALLY_OK : TALLY_NO_MEMORY;
}

static char *
make_options(int query_timeout_ms, bool is_plain, const char *more)
{
	char *text = NULL;

	if (asprintf(&text,
		     "-c default_transaction_read_only=on -c timezone=UTC -c jit=off"
		     " -c statement_timeout=%d%s %s",
		     query_timeout_ms, is_plain ? "" : " -c " CHECK_INTERVAL "=1s", more)
	    < 0)
		return NULL;
	return text;
}

static void
set_keywords(struct pg_settings *settings)
{
	/* What comes later wins: defaults, the URL, and what must be so. */
	const char *options = settings->is_plain ? settings->plain_options : settings->options;
	const char *const pairs[PG_KEYWORDS][2] = {
		{ "gssencmode",                "disable"             },
                { "tcp_user_timeout",          "30000"               },
		{ "keepalives_idle",           "10"                  },
                { "fallback_application_name", settings->application },
		{ "dbname",                    settings->url         },
                { "client_encoding",           "UTF8"                },
		{ "options",                   options               },
	};

	for (size_t i = 0; i < PG_KEYWORDS; i++) {
		settings->keywords[i] = pairs[i][0];
		settings->values[i] = pairs[i][1];
	}
}

tally_status
pg_settings_init(struct pg_settings *settings, const char *name, const char *url,
		 int query_timeout_ms, struct tally_error *err)
{
	char *more = NULL;
	tally_status status;

	*settings = (struct pg_settings){ 0 };
	status = parse_url(settings, url, &more);
	if (status == TALLY_WRONG_SETTING)
		return tally_fail(err, status, "%s: not a URL such as postgresql://user@host/db",
				  name);
	if (status == TALLY_OK) {
		settings->options = make_options(query_timeout_ms, false, more);
		settings->plain_options = make_options(query_timeout_ms, true, more);
		if (asprintf(&settings->application, "tally %s", name) < 0)
			settings->application = NULL;
	}
	free(more);
	if (!settings->options || !settings->plain_options || !settings->application)
		return tally_fail(err, TALLY_NO_MEMORY, "out of memory");
	set_keywords(settings);
	return TALLY_OK;
}

void
pg_settings_fini(struct pg_settings *settings)
{
	free(settings->url);
	free(settings->options);
	free(settings->plain_options);
	free(settings->application);
	*settings = (struct pg_settings){ 0 };
}

void
pg_settings_refused(struct pg_settings *settings, const char *reason)
{
	if (settings->is_plain || !strstr(reason, CHECK_INTERVAL))
		return;
	settings->is_plain = true;
	set_keywords(settings);
}
