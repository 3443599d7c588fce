#include "source/migrate.h"

#include "source/ch_migrate.h"
#include "source/ch_settings.h"
#include "source/pg_migrate.h"

tally_status
migrate_up(const struct migrate_job *job, struct tally_error *err)
{
	return ch_settings_is_url(job->url) ? ch_migrate_up(job, err) : pg_migrate_up(job, err);
}

tally_status
migrate_down(const struct migrate_job *job, size_t n, struct tally_error *err)
{
	return ch_settings_is_url(job->url) ? ch_migrate_down(job, n, err)
					    : pg_migrate_down(job, n, err);
}

tally_status
migrate_look(const struct migrate_job *job, struct tally_error *err)
{
	return ch_settings_is_url(job->url) ? ch_migrate_look(job, err) : pg_migrate_look(job, err);
}

tally_status
migrate_script(const struct migrate_job *job, const char *file, struct tally_error *err)
{
	return ch_settings_is_url(job->url) ? ch_migrate_script(job, file, err)
					    : pg_migrate_script(job, file, err);
}
