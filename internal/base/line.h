/* line.h - reads a text file line by line, with a ceiling and without being fooled by NULs. */
#ifndef BASE_LINE_H
#define BASE_LINE_H

#include <stdio.h>

enum line_result {
	LINE_READ, /* terminated, with its line end if it has one */
	LINE_END,  /* of the file; or it cannot be read: ferror */
	LINE_TOO_LONG,
	LINE_HAS_NUL, /* what is behind it would be overlooked */
};

/* Reads the next line into line, which has size (> 1) bytes.  One thread at a time. */
enum line_result line_read(FILE *file, char *line, size_t size);

#endif
