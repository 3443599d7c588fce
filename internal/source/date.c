#include "source/date.h"

/* A leap day ends the cycle when years begin in March: so days are counted in eras of 400 years
 * (146,097 days) from 0000-03-01, and no month needs a special case. */
#define DAYS_OF_ERA   146097
#define DAYS_TO_EPOCH 719468 /* from 0000-03-01 to 1970-01-01 */

static bool
is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

bool
date_is_valid(const struct date *date)
{
	static const int lengths[] = { 0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int length;

	if (date->year < 1 || date->year > 9999 || date->month < 1 || date->month > 12)
		return false;
	length = lengths[date->month] + (date->month == 2 && is_leap(date->year));
	return date->day >= 1 && date->day <= length;
}

int64_t
date_to_days(const struct date *date)
{
	int year = date->year - (date->month <= 2);
	int month = date->month > 2 ? date->month - 3 : date->month + 9; /* from March */
	int era = year / 400;
	int year_of_era = year % 400;
	int day_of_year = (153 * month + 2) / 5 + date->day - 1;
	int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return (int64_t)era * DAYS_OF_ERA + day_of_era - DAYS_TO_EPOCH;
}

struct date
date_from_days(int64_t days)
{
	int64_t shifted = days + DAYS_TO_EPOCH;
	int era = (int)(shifted / DAYS_OF_ERA);
	int day_of_era = (int)(shifted % DAYS_OF_ERA);
	int year_of_era =
	    (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int month = (5 * day_of_year + 2) / 153; /* from March */
	struct date date = {
		.month = month < 10 ? month + 3 : month - 9,
		.day = day_of_year - (153 * month + 2) / 5 + 1,
	};

	date.year = era * 400 + year_of_era + (date.month <= 2);
	return date;
}
