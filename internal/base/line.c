#include "base/line.h"

#include <string.h>

enum line_result
line_read(FILE *file, char *line, size_t size)
{
	const char *end;

	/* fgets does not say how much it has read: its own end is the last NUL among these. */
	memset(line, '\n', size);
	if (!fgets(line, (int)size, file))
		return LINE_END;
	end = memrchr(line, '\0', size);
	if (strlen(line) != (size_t)(end - line))
		return LINE_HAS_NUL;
	return end == line + size - 1 && end[-1] != '\n' ? LINE_TOO_LONG : LINE_READ;
}
