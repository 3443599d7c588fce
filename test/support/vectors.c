#include "support/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *
vectors_load(const char *name)
{
	char path[128];
	json_error_t error;

	snprintf(path, sizeof path, "test/contract/%s", name);
	json_t *document = json_load_file(path, 0, &error);
	if (document)
		return document;
	fprintf(stderr, "%s:%d: %s\n", path, error.line, error.text);
	abort();
}

const char *
vectors_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	if (text)
		return text;
	fprintf(stderr, "no member %s\n", name);
	abort();
}

size_t
vectors_unhex(const char *text, unsigned char *out)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++) {
		char pair[3] = { text[2 * i], text[2 * i + 1], '\0' };

		out[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	return n;
}
