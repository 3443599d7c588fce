/* fuzz.h - what a target is: a file of this folder with one function, which libFuzzer calls with
 * anything (make fuzz) and replay.c with what is in corpus/NAME (make asan).
 *
 * A target fails by ending the process: the sanitizers do, and FUZZ_MUST for what must hold beside
 * that nothing is read or written out of bounds. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <tally/status.h>

struct definition;

/* Takes one input; always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MUST(condition)                                                                       \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__,           \
				      #condition);                                                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input as a string of its own memory, cut at its first NUL; the caller frees it. */
char *fuzz_text(const uint8_t *data, size_t size);

/* A copy in memory of exactly its size, so that a byte read past its end is seen; the caller frees
 * it. */
void *fuzz_exact(const void *data, size_t size);

/* Checks that a text is UTF-8 without control characters of ASCII but the tab: what may go into a
 * log line, an error document and a header. */
void fuzz_must_be_plain(const char *text);

/* The definition of a dataset's text, which is right; the caller keeps it. */
struct definition *fuzz_definition(const char *text);

#endif
