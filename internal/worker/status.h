/* status.h - the worker's own pages: /metrics, /livez, /readyz on TALLY_METRICS_LISTEN. */
#ifndef WORKER_STATUS_H
#define WORKER_STATUS_H

#include "worker/worker.h"

struct worker_status;

/* Serves the pages; *out_status is NULL when no address is set.  Config and worker outlive it.
 * TALLY_WRONG_SETTING: the address cannot be used; TALLY_NO_MEMORY. */
TALLY_MUST_CHECK tally_status worker_status_start(const struct config *config,
						  const struct worker *worker,
						  struct worker_status **out_status,
						  struct tally_error *err);

/* Stops serving.  Accepts NULL. */
void worker_status_stop(struct worker_status *status);

#endif
