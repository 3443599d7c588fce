/* tally-worker: takes requests in batches, aggregates over the databases, publishes results. */
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "base/signals.h"
#include "base/version.h"
#include "config/program.h"
#include "worker/status.h"
#include "worker/worker.h"

OWN_DEFINE(config);
OWN_DEFINE(catalog);

static const struct program program = {
	.reader = CONFIG_WORKER,
	.name = "tally-worker",
	.what = "takes requests from Kafka and answers them from the databases.",
};

static void
on_ready(void *ctx)
{
	(void)ctx;
	log_info("ready", LOG_STR("program", program.name));
}

static void
on_fatal(void *ctx, const struct tally_error *err)
{
	(void)ctx;
	log_error("cannot go on", LOG_ERROR(err));
	program_end(program_code(err));
}

/* Serves until a signal or an error that does not go away; the exit code. */
static int
serve(const struct config *config, const struct catalog *catalog)
{
	struct kafka_property properties[CONFIG_MAX_PAIRS];
	const struct kafka_config kafka = {
		.brokers = config->kafka,
		.client_id = config->instance,
		.properties = properties,
		.n_properties = config->n_properties,
		.on_log = program_log_kafka,
	};
	const struct worker_options options = {
		.config = config,
		.kafka = &kafka,
		.catalog = catalog,
		.events = { on_ready, on_fatal, NULL },
	};
	struct tally_error err = { 0 };
	struct worker_status *page = NULL;
	struct worker *worker = NULL;

	for (size_t i = 0; i < config->n_properties; i++)
		properties[i] = (struct kafka_property){ config->properties[i].name,
							 config->properties[i].value };
	tally_status status = kafka_config_check(&kafka, &err);
	if (status == TALLY_OK)
		status = worker_start(&options, &worker, &err);
	if (status == TALLY_OK)
		status = worker_status_start(config, worker, &page, &err);
	if (status != TALLY_OK)
		on_fatal(NULL, &err);
	int code = program_wait(NULL, NULL);
	worker_status_stop(page);
	worker_stop(worker, code == 0 ? (int)config->drain_ms : 0);
	signals_stop();
	return code;
}

int
main(int argc, char **argv)
{
	OWN(config) config = NULL;
	OWN(catalog) catalog = NULL;
	struct tally_error err = { 0 };
	int code;

	if (!program_begin(&program, argc, argv, &config, &code))
		return code;
	if (catalog_load(config->datasets, &catalog, &err) != TALLY_OK) {
		log_error("cannot start", LOG_ERROR(&err));
		return program_code(&err);
	}
	log_info("starting", LOG_STR("program", program.name), LOG_STR("version", version_text()),
		 LOG_UINT("datasets", catalog_count(catalog)));
	code = serve(config, catalog);
	log_info("stopped", LOG_STR("program", program.name));
	log_close();
	return code;
}
