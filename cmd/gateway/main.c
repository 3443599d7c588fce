/* tally-gateway: HTTP in, Kafka in the middle, HTTP out. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/signals.h"
#include "base/version.h"
#include "config/config.h"
#include "gateway/gateway.h"

#define EXIT_WRONG 78 /* sysexits(3): EX_CONFIG; starting again will not help */

OWN_DEFINE(config);
OWN_DEFINE(catalog);

/* Why main goes on to the end: 0, or an exit code. */
struct ending {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool has_come;
	int code;
};

static struct ending ending = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0 };

static void
end_with(int code)
{
	pthread_mutex_lock(&ending.lock);
	ending.has_come = true;
	if (ending.code == 0)
		ending.code = code;
	pthread_cond_signal(&ending.changed);
	pthread_mutex_unlock(&ending.lock);
}

static int
wait_for_end(void)
{
	pthread_mutex_lock(&ending.lock);
	while (!ending.has_come)
		pthread_cond_wait(&ending.changed, &ending.lock);
	pthread_mutex_unlock(&ending.lock);
	return ending.code;
}

static void
on_signal(void *ctx, int signal)
{
	(void)ctx;
	log_info("stopping", LOG_STR("signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"));
	end_with(0);
}

static void
on_ready(void *ctx, unsigned port)
{
	(void)ctx;
	log_info("ready", LOG_STR("program", "tally-gateway"), LOG_UINT("port", port));
}

static void
on_fatal(void *ctx, const struct tally_error *err)
{
	(void)ctx;
	log_error("cannot go on", LOG_ERROR(err));
	end_with(err->status == TALLY_WRONG_DEFINITION || err->status == TALLY_WRONG_SETTING
		     ? EXIT_WRONG
		     : EXIT_FAILURE);
}

static void
on_kafka_log(void *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= 3)
		log_error("kafka", LOG_STR("text", text));
	else if (level <= 5)
		log_warn("kafka", LOG_STR("text", text));
	else
		log_debug("kafka", LOG_STR("text", text));
}

/* Serves until a signal or an error that does not go away; the exit code. */
static int
serve(const struct config *config, const struct catalog *catalog)
{
	struct kafka_property properties[CONFIG_MAX_PAIRS];
	struct kafka_config kafka = {
		.brokers = config->kafka,
		.client_id = config->instance,
		.properties = properties,
		.n_properties = config->n_properties,
		.on_log = on_kafka_log,
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
		status = signals_start(on_signal, NULL, &err);
	if (status == TALLY_OK)
		status = gateway_start(&options, &gateway, &err);
	if (status == TALLY_OK)
		log_info("listening", LOG_STR("program", "tally-gateway"),
			 LOG_STR("listen", config->listen),
			 LOG_UINT("port", gateway_port(gateway)));
	else
		on_fatal(NULL, &err);
	int code = wait_for_end();
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
	enum log_level level;
	enum log_format format;

	signals_block();
	if (config_load(CONFIG_GATEWAY, argc, argv, false, &config, &err) != TALLY_OK) {
		fprintf(stderr, "tally-gateway: %s\n", err.detail);
		return EXIT_WRONG;
	}
	if (config->wants_help) {
		puts("tally-gateway: HTTP for rows; requests go to workers through "
		     "Kafka.\n");
		config_help(CONFIG_GATEWAY, stdout);
		return EXIT_SUCCESS;
	}
	if (config->wants_version) {
		puts(version_text());
		return EXIT_SUCCESS;
	}
	if (!log_level_from(config->log_level, &level)
	    || !log_format_from(config->log_format, &format)) {
		fputs("tally-gateway: TALLY_LOG_LEVEL is debug, info, warn or error; "
		      "TALLY_LOG_FORMAT is logfmt or json\n",
		      stderr);
		return EXIT_WRONG;
	}
	log_open(level, format);
	if (catalog_load(config->datasets, &catalog, &err) != TALLY_OK) {
		log_error("cannot start", LOG_ERROR(&err));
		return EXIT_WRONG;
	}
	log_info("starting", LOG_STR("program", "tally-gateway"),
		 LOG_STR("version", version_text()), LOG_UINT("datasets", catalog_count(catalog)));
	int code = serve(config, catalog);
	log_info("stopped", LOG_STR("program", "tally-gateway"));
	log_close();
	return code;
}
