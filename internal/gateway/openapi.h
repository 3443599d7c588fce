/* openapi.h - the API described by itself: api/openapi.json as it was built in, and with a path of
 * its own for every dataset that this gateway has. */
#ifndef GATEWAY_OPENAPI_H
#define GATEWAY_OPENAPI_H

#include <stddef.h>

#include "dataset/catalog.h"

/* The documents as they stand in api/, not terminated; *out_len is their length.  Static. */
const char *openapi_text(size_t *out_len);
const char *asyncapi_text(size_t *out_len);

/* The document for a catalog: a path /api/NAME with the dataset's parameters and rows is added for
 * each dataset.  The caller frees the text; NULL when out of memory.  Any thread. */
char *openapi_document(const struct catalog *catalog);

#endif
