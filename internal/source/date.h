/* date.h - the proleptic Gregorian calendar, as ISO 8601 and PostgreSQL have it; years 0001-9999.
 *  */
#ifndef SOURCE_DATE_H
#define SOURCE_DATE_H

#include <stdbool.h>
#include <stdint.h>

/* Days since 1970-01-01 of 0001-01-01 and 9999-12-31, and the microseconds of a day. */
#define DATE_MIN_DAYS  (-719162)
#define DATE_MAX_DAYS  2932896
#define DATE_US_OF_DAY INT64_C(86400000000)

struct date {
	int year;  /* 1 .. 9999 */
	int month; /* 1 .. 12 */
	int day;   /* 1 .. 31 */
};

/* Whether there is such a day. */
bool date_is_valid(const struct date *date);

/* Days since 1970-01-01 of a valid date. */
int64_t date_to_days(const struct date *date);

/* The date of a number of days within DATE_MIN_DAYS .. DATE_MAX_DAYS. */
struct date date_from_days(int64_t days);

#endif
