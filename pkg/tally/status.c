#include <tally/status.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *code;
	const char *title;
	bool is_retryable;
} statuses[] = {
#define TALLY_STATUS_ROW(name, code, retryable, title) { code, title, retryable },
	TALLY_STATUS_MAP(TALLY_STATUS_ROW)
#undef TALLY_STATUS_ROW
};

const char *
tally_status_code(tally_status status)
{
	return statuses[status].code;
}

const char *
tally_status_title(tally_status status)
{
	return statuses[status].title;
}

bool
tally_status_is_retryable(tally_status status)
{
	return statuses[status].is_retryable;
}

bool
tally_status_parse(const char *code, size_t len, tally_status *out_status)
{
	for (size_t i = 0; i < TALLY_STATUSES; i++) {
		if (strlen(statuses[i].code) == len && memcmp(statuses[i].code, code, len) == 0) {
			*out_status = (tally_status)i;
			return true;
		}
	}
	return false;
}

tally_status
tally_fail(struct tally_error *err, tally_status status, const char *format, ...)
{
	va_list args;

	if (!err)
		return status;
	err->status = status;
	err->source[0] = '\0';
	err->sqlstate[0] = '\0';
	va_start(args, format);
	(void)vsnprintf(err->detail, sizeof err->detail, format, args); /* cut off is fine */
	va_end(args);
	return status;
}
