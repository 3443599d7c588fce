/* What the targets share. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "dataset/definition.h"

char *
fuzz_text(const uint8_t *data, size_t size)
{
	char *text = strndup(size > 0 ? (const char *)data : "", size);

	FUZZ_MUST(text != NULL);
	return text;
}

void *
fuzz_exact(const void *data, size_t size)
{
	void *copy = malloc(size > 0 ? size : 1);

	FUZZ_MUST(copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

void
fuzz_must_be_plain(const char *text)
{
	FUZZ_MUST(utf8_valid(text, strlen(text), NULL));
	for (; *text; text++)
		FUZZ_MUST(((unsigned char)*text >= 0x20 && *text != 0x7f) || *text == '\t');
}

struct definition *
fuzz_definition(const char *text)
{
	struct definition *definition;

	FUZZ_MUST(definition_parse("t.sql", text, strlen(text), &definition, NULL) == TALLY_OK);
	return definition;
}
