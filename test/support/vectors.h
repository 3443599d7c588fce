/* vectors.h - the vectors of test/contract, which the Python tests beside them read too.  What is
 * not as it must be aborts. */
#ifndef SUPPORT_VECTORS_H
#define SUPPORT_VECTORS_H

#include <jansson.h>
#include <stddef.h>

/* Reads test/contract/NAME; the caller decrefs it.  Tests run from the top of the tree. */
json_t *vectors_load(const char *name);

/* A member that is a text; lives as long as the object. */
const char *vectors_text(const json_t *object, const char *name);

/* Writes the bytes of hexadecimal text to out; how many there are. */
size_t vectors_unhex(const char *text, unsigned char *out);

#endif
