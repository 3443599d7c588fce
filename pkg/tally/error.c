/* The error document of a failed result. */
#include <tally/message.h>

#include <jansson.h>

#include <stdio.h>
#include <string.h>

#include <tally/rules.h>

tally_status
tally_error_encode(const struct tally_error *error, char *buf, size_t cap, size_t *out_len)
{
	const char *detail = error->detail[0] ? error->detail : tally_status_title(error->status);
	json_auto_t *document =
	    json_pack("{s:s, s:s, s:s, s:b}", "code", tally_status_code(error->status), "title",
		      tally_status_title(error->status), "detail", detail, "retryable",
		      (int)tally_status_is_retryable(error->status));

	/* A detail that quotes a database may not be UTF-8: the title stands for it. */
	if (!document)
		document = json_pack("{s:s, s:s, s:b}", "code", tally_status_code(error->status),
				     "title", tally_status_title(error->status), "retryable",
				     (int)tally_status_is_retryable(error->status));
	if (!document
	    || (error->source[0]
		&& json_object_set_new(document, "source", json_string(error->source)) != 0))
		return TALLY_NO_MEMORY;
	*out_len = json_dumpb(document, buf, cap, JSON_COMPACT);
	if (*out_len == 0)
		return TALLY_NO_MEMORY;
	return *out_len > cap ? TALLY_TOO_LARGE : TALLY_OK;
}

tally_status
tally_error_decode(const void *data, size_t len, struct tally_error *out_error)
{
	json_auto_t *document = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
	const char *code = json_string_value(json_object_get(document, "code"));
	const char *detail = json_string_value(json_object_get(document, "detail"));
	const char *source = json_string_value(json_object_get(document, "source"));
	tally_status status;

	if (!code || !tally_status_parse(code, strlen(code), &status) || status == TALLY_OK)
		return TALLY_BAD_REQUEST;
	(void)tally_fail(out_error, status, "%s", detail ? detail : "");
	(void)snprintf(out_error->source, sizeof out_error->source, "%s", source ? source : "");
	tally_end_whole(out_error->source);
	return TALLY_OK;
}
