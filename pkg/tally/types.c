#include <tally/types.h>

#include <string.h>

static const char *const names[] = { [TALLY_ABSENT] = "absent",
#define TALLY_TYPE_ROW(name, text, byte) [TALLY_##name] = (text),
				     TALLY_TYPE_MAP(TALLY_TYPE_ROW)
#undef TALLY_TYPE_ROW
};

const char *
tally_type_name(enum tally_type type)
{
	return names[type];
}

bool
tally_type_parse(const char *name, size_t len, enum tally_type *out_type)
{
	for (size_t i = TALLY_TEXT; i < sizeof names / sizeof *names; i++) {
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
			*out_type = (enum tally_type)i;
			return true;
		}
	}
	return false;
}
