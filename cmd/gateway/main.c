/* tally-gateway: HTTP in, Kafka in the middle, HTTP out. */
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/own.h"
#include "base/signals.h"
#include "base/version.h"
#include "config/program.h"
#include "gateway/gateway.h"

OWN_DEFINE(config);
OWN_DEFINE(catalog);

static const struct program program = {
	.reader = CONFIG_GATEWAY,
	.name = "tally-gateway",
	.what = "HTTP for rows; requests go to workers through Kafka.",
};

static void
on_ready(void *ctx, unsigned port)
{
	(void)ctx;
	log_info("ready", LOG_STR("program", program.name), LOG_UINT("port", port));
}

static void
on_fatal(void *ctx, const struct tally_error *err)
{
	(void)ctx;
	log_error("cannot go on", LOG_ERROR(err));
	program_end(program_code(err));
}

static void
on_hangup(void *ctx)
{
	gateway_reload(ctx);
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
	const struct gateway_options options = {
		.config = config,
		.kafka = &kafka,
		.catalog = catalog,
		.events = { on_ready, on_fatal, NULL },
	};
	struct tally_error err = { 0 };
	struct gateway *gateway = NULL;

	for (size_t i = 0; i < config->n_properties; i++)
		properties[i] = (struct kafka_property){ config->properties[i].name,
							 config->properties[i].value };
	tally_status status = kafka_config_check(&kafka, &err);
	if (status == TALLY_OK)
		status = gateway_start(&options, &gateway, &err);
	if (status == TALLY_OK)
		log_info("listening", LOG_STR("program", program.name),
			 LOG_STR("listen", config->listen),
			 LOG_UINT("port", gateway_port(gateway)));
	else
		on_fatal(NULL, &err);
	int code = program_wait(on_hangup, gateway);
	gateway_stop(gateway, code == 0 ? (int)config->drain_ms : 0);
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

	memory_give_back(); /* results of jobs */
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
