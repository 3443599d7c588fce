/* banned.h - calls that are never right in this tree; included before every source file.
 * Each has a bounded or checked counterpart: snprintf, strtol with checks, gmtime_r, nanosleep. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Some are macros of a fortified glibc. */
#undef sprintf
#undef vsprintf
#undef strncpy
#undef strncat
#undef strcpy
#undef strcat

#pragma GCC poison strcpy strcat sprintf vsprintf strtok strncpy strncat gets
#pragma GCC poison atoi atol atoll atof localtime gmtime asctime ctime
#pragma GCC poison srand tmpnam mktemp

#endif
