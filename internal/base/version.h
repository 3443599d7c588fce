/* version.h - which build this is. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

/* The version as git describes it; a static string. */
const char *version_text(void);

#endif
