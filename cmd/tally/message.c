#include "message.h"

#include <string.h>
#include <time.h>

void
message_time(int64_t unix_ms, char out[MESSAGE_TIME_CHARS])
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm tm;

	out[0] = '\0';
	if (unix_ms < 0 || !gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900)
		return;
	(void)strftime(out, MESSAGE_TIME_CHARS, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
	(void)snprintf(out + 20, MESSAGE_TIME_CHARS - 20, "%03dZ", (int)(unix_ms % 1000));
}

void
message_header(const struct kafka_message *message, const char *name, char *out, size_t size)
{
	struct tally_header headers[TALLY_HEADERS_MAX];
	size_t n = kafka_message_headers(message, headers, TALLY_HEADERS_MAX);

	out[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (strcmp(headers[i].name, name) == 0 && headers[i].value) {
			(void)snprintf(out, size, "%.*s", (int)headers[i].len,
				       (const char *)headers[i].value);
			return;
		}
	}
}
