/* types.h - the types of parameters and columns: one list for dataset files, messages, fingerprints
 * and JSON Schemas. */
#ifndef TALLY_TYPES_H
#define TALLY_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(NAME, name, byte in the fingerprint).  Both are public: never change one. */
#define TALLY_TYPE_MAP(X)                                                                          \
	X(TEXT, "text", 1)                                                                         \
	X(INT, "int", 2)                                                                           \
	X(FLOAT, "float", 3)                                                                       \
	X(BOOL, "bool", 4)                                                                         \
	X(DATE, "date", 5)                                                                         \
	X(TIMESTAMP, "timestamp", 6)                                                               \
	X(TIMESTAMPTZ, "timestamptz", 7)                                                           \
	X(UUID, "uuid", 8)                                                                         \
	X(DECIMAL, "decimal", 9)

enum tally_type {
	TALLY_ABSENT = 0,
#define TALLY_TYPE_ENUM(name, text, byte) TALLY_##name = (byte),
	TALLY_TYPE_MAP(TALLY_TYPE_ENUM)
#undef TALLY_TYPE_ENUM
};

/* The name as in a dataset file; a static string ("absent" for TALLY_ABSENT). */
const char *tally_type_name(enum tally_type type);

/* Finds a type by name of len bytes; false when there is none, *out_type untouched. */
bool tally_type_parse(const char *name, size_t len, enum tally_type *out_type);

#ifdef __cplusplus
}
#endif

#endif
