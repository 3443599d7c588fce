/* ch_migrate.h - inside the folder only: migrations of ClickHouse, as migrate.h has them. */
#ifndef SOURCE_CH_MIGRATE_H
#define SOURCE_CH_MIGRATE_H

#include "source/migrate.h"

/* As migrate_up, _down, _look and _script. */
TALLY_MUST_CHECK tally_status ch_migrate_up(const struct migrate_job *job, struct tally_error *err);
TALLY_MUST_CHECK tally_status ch_migrate_down(const struct migrate_job *job, size_t n,
					      struct tally_error *err);
TALLY_MUST_CHECK tally_status ch_migrate_look(const struct migrate_job *job,
					      struct tally_error *err);
TALLY_MUST_CHECK tally_status ch_migrate_script(const struct migrate_job *job, const char *file,
						struct tally_error *err);

#endif
