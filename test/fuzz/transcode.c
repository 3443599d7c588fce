/* CSV and NDJSON of a body that a worker, or somebody in its place, may have made of anything.  What
 * comes out does not depend on how it is taken: in pieces of one byte or of many. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/buf.h"
#include "dataset/transcode.h"

#define OUT_MAX ((size_t)8 << 20)

static const char dataset[] = "-- dataset t\n"
			      "-- column a text null\n"
			      "-- column b int\n"
			      "-- step s on db1\n"
			      "SELECT 1;\n";

static tally_status
read_all(struct transcode *stream, size_t slice, struct buf *out)
{
	tally_status status = TALLY_OK;
	size_t n = 1;

	while (status == TALLY_OK && n > 0) {
		char *piece = malloc(slice);

		FUZZ_MUST(piece != NULL);
		status = transcode_read(stream, piece, slice, &n);
		FUZZ_MUST(n <= slice && buf_append(out, piece, n) == TALLY_OK);
		free(piece);
	}
	return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t slices[] = { 1, 3, 600, 32768 };
	static struct definition *definition;

	if (!definition)
		definition = fuzz_definition(dataset);
	for (int form = 0; form < 3; form++) {
		struct buf first = BUF_INIT(OUT_MAX);
		tally_status status = TALLY_OK;

		for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
			struct buf out = BUF_INIT(OUT_MAX);
			struct transcode *stream =
			    transcode_new(definition, form < 2 ? TRANSCODE_CSV : TRANSCODE_NDJSON,
					  form == 0, (const char *)data, size);

			FUZZ_MUST(stream != NULL);
			tally_status now = read_all(stream, slices[i], i ? &out : &first);
			FUZZ_MUST(now == TALLY_OK || now == TALLY_INTERNAL_ERROR);
			FUZZ_MUST(i == 0 || now == status);
			FUZZ_MUST(
			    i == 0 || now != TALLY_OK
			    || (out.len == first.len
				&& (out.len == 0 || memcmp(out.data, first.data, out.len) == 0)));
			status = now;
			transcode_free(stream);
			buf_fini(&out);
		}
		buf_fini(&first);
	}
	return 0;
}
