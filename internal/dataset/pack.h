/* pack.h - values in few bytes, for what is kept in memory: a byte of type and state, then a number
 * of variable length (LEB128, signed ones by zigzag) or a text with its length.  Never leaves the
 * process. */
#ifndef DATASET_PACK_H
#define DATASET_PACK_H

#include "source/value.h"

/* The most bytes that a number takes. */
#define PACK_NUMBER_MAX 10

/* The most bytes that pack_value writes for a value. */
size_t pack_bound(const struct value *value);

/* Writes a value or a number at a place with room for it; returns the place behind. */
unsigned char *pack_value(unsigned char *at, const struct value *value);
unsigned char *pack_number(unsigned char *at, uint64_t number);

/* Reads what pack_value or pack_number wrote, into *out; returns the place behind.  Texts point
 * into the bytes. */
const unsigned char *unpack_value(const unsigned char *at, struct value *out);
const unsigned char *unpack_number(const unsigned char *at, uint64_t *out);

#endif
