#include <tally/status.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tally/rules.h>

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

void
tally_end_whole(char *text)
{
	size_t len = strlen(text);
	size_t lead = len;

	while (lead > 0 && len - lead < 3 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
		lead--;
	if (lead == 0)
		return;
	unsigned char c = (unsigned char)text[lead - 1];
	size_t wanted = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
	if (len - lead + 1 < wanted)
		text[lead - 1] = '\0';
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
	int len = vsnprintf(err->detail, sizeof err->detail, format, args);
	va_end(args);
	if (len >= (int)sizeof err->detail) /* cut off is fine */
		tally_end_whole(err->detail);
	return status;
}
