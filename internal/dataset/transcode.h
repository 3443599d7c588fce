/* transcode.h - CSV and NDJSON, streamed from the JSON body that the encoder wrote, a piece at a
 * time; never a whole document in memory.  The input is our own encoder's output and nothing else;
 * anything that is not ends the stream with TALLY_INTERNAL_ERROR.
 *
 * CSV: RFC 4180, UTF-8, header line, CRLF.  Cells that begin with = + - @ TAB or CR get a leading '
 * when csv_safe, unless the cell is a JSON number as a whole; null is empty, the empty string "".
 * NDJSON: the rows as they stand, a row a line; what is between a row's braces is not looked at. */
#ifndef DATASET_TRANSCODE_H
#define DATASET_TRANSCODE_H

#include "dataset/definition.h"

enum transcode_format { TRANSCODE_JSON, TRANSCODE_CSV, TRANSCODE_NDJSON };

/* Finds a format by its name ("json", "csv", "ndjson"); false without one, *out_format untouched.
 *  */
bool transcode_format_parse(const char *name, size_t len, enum transcode_format *out_format);

/* The media type: "application/json", "text/csv; charset=utf-8", "application/x-ndjson". */
const char *transcode_media_type(enum transcode_format format);

struct transcode;

/* A stream over body (borrowed until transcode_free), the answer of a request for definition
 * (borrowed too).  NULL when out of memory. */
struct transcode *transcode_new(const struct definition *definition, enum transcode_format format,
				bool csv_safe, const char *body, size_t len);

/* Frees the stream.  Accepts NULL. */
void transcode_free(struct transcode *transcode);

/* Writes the next bytes, at most max (> 0), to out and their number to *out_len; 0 is the end.
 * TALLY_INTERNAL_ERROR when the body is not what the encoder writes. */
TALLY_MUST_CHECK tally_status transcode_read(struct transcode *transcode, char *out, size_t max,
					     size_t *out_len);

#endif
