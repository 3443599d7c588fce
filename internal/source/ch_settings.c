#include "source/ch_settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define MAX_URL_BYTES  8192
#define PLAIN_PORT     "8123"
#define SECURE_PORT    "8443"
#define CONNECT_MS     1000L
#define MAX_IDLE_S     60L
#define DEFAULT_FORMAT "X-ClickHouse-Format: RowBinaryWithNamesAndTypes"

enum { FOR_READS = 1, FOR_WRITES = 2, FOR_BOTH = FOR_READS | FOR_WRITES };

/* What is sent unless the URL says otherwise. */
static const struct {
	const char *name;
	const char *value;
	int uses;
} defaults[] = {
	{ "readonly",				     "2",   FOR_READS  }, /* but settings */
	{ "max_threads",				  "2",   FOR_READS  }, /* for one of many */
	{ "cancel_http_readonly_queries_on_client_close", "1",   FOR_READS  },
	{ "wait_end_of_query",                            "1",   FOR_BOTH   },
	{ "session_timezone",                             "UTC", FOR_BOTH   },
	{ "mutations_sync",			       "2",   FOR_WRITES }, /* wait for them */
	{ "max_partitions_per_insert_block",              "0",   FOR_WRITES }, /* any number */
};

#define DEFAULTS (sizeof defaults / sizeof *defaults)

/* A URL on its way to settings. */
struct parsing {
	struct ch_settings *settings;
	const char *name;
	CURLU *url;
	struct buf query; /* setting=value&... */
	bool is_secure;
	bool is_given[DEFAULTS];
	struct tally_error *err;
};

bool
ch_settings_is_url(const char *url)
{
	static const char scheme[] = "clickhouse";

	url += strncmp(url, scheme, sizeof scheme - 1) == 0 ? sizeof scheme - 1 : 0;
	return *url == '+' || strncmp(url, "://", 3) == 0;
}

static tally_status
wrong(struct parsing *parsing, const char *what)
{
	return tally_fail(parsing->err, TALLY_WRONG_SETTING,
			  "%s: %s; a URL is such as clickhouse://user:password@host:" PLAIN_PORT
			  "/database",
			  parsing->name, what);
}

static tally_status
no_memory(struct parsing *parsing)
{
	return tally_fail(parsing->err, TALLY_NO_MEMORY, "out of memory");
}

static tally_status
read_flag(struct parsing *parsing, const char *value, bool *out_flag)
{
	*out_flag = strcmp(value, "1") == 0 || strcmp(value, "true") == 0;
	if (*out_flag || strcmp(value, "0") == 0 || strcmp(value, "false") == 0)
		return TALLY_OK;
	return wrong(parsing, "secure and verify are 0 or 1");
}

static tally_status
add_setting(struct parsing *parsing, const char *name, const char *value)
{
	return buf_printf(&parsing->query, "%s=%s&", name, value) == TALLY_OK ? TALLY_OK
									      : no_memory(parsing);
}

/* value is percent-encoded, as it stands in the URL. */
static tally_status
take_word(struct parsing *parsing, const char *name, const char *value)
{
	struct ch_settings *settings = parsing->settings;

	if (strcmp(name, "secure") == 0)
		return read_flag(parsing, value, &parsing->is_secure);
	if (strcmp(name, "verify") == 0)
		return read_flag(parsing, value, &settings->is_verified);
	if (strcmp(name, "ca_cert") == 0) {
		char *path = curl_easy_unescape(NULL, value, 0, NULL);

		free(settings->ca_cert);
		settings->ca_cert = path ? strdup(path) : NULL;
		curl_free(path);
		return settings->ca_cert ? TALLY_OK : no_memory(parsing);
	}
	for (size_t i = 0; i < DEFAULTS; i++)
		parsing->is_given[i] |= strcmp(name, defaults[i].name) == 0;
	return add_setting(parsing, name, value);
}

static tally_status
take_words(struct parsing *parsing, char *words)
{
	char *rest = words;
	char *word;

	while ((word = strsep(&rest, "&"))) {
		char *value = strchr(word, '=');
		tally_status status;

		if (!*word)
			continue;
		if (!value || value == word)
			return wrong(parsing, "what stands after ? is not name=value");
		*value++ = '\0';
		status = take_word(parsing, word, value);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

static tally_status
read_words(struct parsing *parsing)
{
	char *words = NULL;
	tally_status status = TALLY_OK;

	if (curl_url_get(parsing->url, CURLUPART_QUERY, &words, 0) != CURLUE_OK)
		return TALLY_OK; /* there are none */
	status = take_words(parsing, words);
	curl_free(words);
	return status;
}

static tally_status
add_defaults(struct parsing *parsing, enum ch_use use)
{
	for (size_t i = 0; i < DEFAULTS; i++) {
		tally_status status;

		if (parsing->is_given[i]
		    || !(defaults[i].uses & (use == CH_READS ? FOR_READS : FOR_WRITES)))
			continue;
		status = add_setting(parsing, defaults[i].name, defaults[i].value);
		if (status != TALLY_OK)
			return status;
	}
	return TALLY_OK;
}

static tally_status
add_header(struct parsing *parsing, const char *line)
{
	struct curl_slist *longer = curl_slist_append(parsing->settings->headers, line);

	if (!longer)
		return no_memory(parsing);
	parsing->settings->headers = longer;
	return TALLY_OK;
}

/* A part of the URL as a header; nothing when it is not there. */
static tally_status
add_part(struct parsing *parsing, CURLUPart part, const char *header)
{
	char *text = NULL;
	CURLUcode code = curl_url_get(parsing->url, part, &text, CURLU_URLDECODE);
	const char *value = text && *text == '/' && part == CURLUPART_PATH ? text + 1 : text;
	char *line = NULL;
	tally_status status = TALLY_OK;

	if (code == CURLUE_OUT_OF_MEMORY)
		return no_memory(parsing);
	if (code == CURLUE_URLDECODE || (value && strpbrk(value, "\r\n")))
		status = wrong(parsing, "user, password and database have no control characters");
	else if (value && *value && asprintf(&line, "%s: %s", header, value) < 0)
		status = no_memory(parsing);
	else if (value && *value)
		status = add_header(parsing, line);
	free(line);
	curl_free(text);
	return status;
}

static tally_status
add_headers(struct parsing *parsing)
{
	static const struct {
		CURLUPart part;
		const char *header;
	} parts[] = {
		{ CURLUPART_USER,     "X-ClickHouse-User"     },
		{ CURLUPART_PASSWORD, "X-ClickHouse-Key"      },
		{ CURLUPART_PATH,     "X-ClickHouse-Database" },
	};
	tally_status status = add_header(parsing, DEFAULT_FORMAT);

	for (size_t i = 0; i < sizeof parts / sizeof *parts && status == TALLY_OK; i++)
		status = add_part(parsing, parts[i].part, parts[i].header);
	if (status == TALLY_OK)
		status = add_header(parsing, "Expect:");
	return status;
}

static tally_status
make_url(struct parsing *parsing)
{
	char *host = NULL, *port = NULL;
	CURLUcode code = curl_url_get(parsing->url, CURLUPART_HOST, &host, 0);
	tally_status status = TALLY_OK;

	if (code == CURLUE_OK)
		(void)curl_url_get(parsing->url, CURLUPART_PORT, &port, 0);
	if (code != CURLUE_OK || !*host)
		status = wrong(parsing, "there is no host");
	else if (buf_append(&parsing->query, "", 1) != TALLY_OK
		 || asprintf(&parsing->settings->url, "http%s://%s:%s/?%s",
			     parsing->is_secure ? "s" : "", host,
			     port                 ? port
			     : parsing->is_secure ? SECURE_PORT
						  : PLAIN_PORT,
			     parsing->query.data)
			< 0)
		status = no_memory(parsing);
	curl_free(host);
	curl_free(port);
	return status;
}

/* Where the part after "clickhouse+http" begins: "://..."; curl takes no + in a scheme. */
static tally_status
read_url(struct parsing *parsing, const char *url)
{
	const char *rest = strstr(url, "://");
	char *plain = NULL;
	CURLUcode code;

	if (!ch_settings_is_url(url) || !rest)
		return wrong(parsing, "the URL does not begin with clickhouse://");
	if (asprintf(&plain, "clickhouse%s", rest) < 0)
		return no_memory(parsing);
	code = curl_url_set(parsing->url, CURLUPART_URL, plain, CURLU_NON_SUPPORT_SCHEME);
	free(plain);
	if (code == CURLUE_OUT_OF_MEMORY)
		return no_memory(parsing);
	return code == CURLUE_OK ? TALLY_OK : wrong(parsing, "it is not a URL");
}

static tally_status
parse(struct parsing *parsing, const char *url, enum ch_use use)
{
	tally_status status = read_url(parsing, url);

	if (status == TALLY_OK)
		status = read_words(parsing);
	if (status == TALLY_OK)
		status = add_defaults(parsing, use);
	if (status == TALLY_OK)
		status = add_headers(parsing);
	return status == TALLY_OK ? make_url(parsing) : status;
}

tally_status
ch_settings_init(struct ch_settings *settings, const char *name, const char *url, enum ch_use use,
		 struct tally_error *err)
{
	struct parsing parsing = {
		.settings = settings,
		.name = name,
		.query = BUF_INIT(MAX_URL_BYTES),
		.err = err,
	};
	tally_status status;

	*settings = (struct ch_settings){ .is_verified = true };
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(parsing.url = curl_url()))
		return no_memory(&parsing);
	status = parse(&parsing, url, use);
	curl_url_cleanup(parsing.url);
	buf_fini(&parsing.query);
	return status;
}

void
ch_settings_fini(struct ch_settings *settings)
{
	free(settings->url);
	free(settings->ca_cert);
	curl_slist_free_all(settings->headers);
	*settings = (struct ch_settings){ 0 };
}

tally_status
ch_settings_apply(const struct ch_settings *settings, CURL *easy)
{
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{ CURLOPT_NOSIGNAL,          1                             },
		{ CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS                    },
		{ CURLOPT_TCP_KEEPALIVE,     1                             },
		{ CURLOPT_MAXAGE_CONN,       MAX_IDLE_S                    },
		{ CURLOPT_HTTP_VERSION,      CURL_HTTP_VERSION_1_1         },
		{ CURLOPT_SSL_VERIFYPEER,    settings->is_verified         },
		{ CURLOPT_SSL_VERIFYHOST,    settings->is_verified ? 2 : 0 },
	};
	CURLcode code = curl_easy_setopt(easy, CURLOPT_PROXY, "");

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers && code == CURLE_OK; i++)
		code = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
	if (code == CURLE_OK && settings->ca_cert)
		code = curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_cert);
	return code == CURLE_OK ? TALLY_OK : TALLY_NO_MEMORY;
}
