/* What a gateway says of itself: its datasets, whether it lives and is ready, its metrics. */
#include <string.h>

#include "dataset/schema.h"
#include "gateway/gateway_inner.h"
#include "http/pages.h"

void
gateway_get_livez(const struct exchange *exchange)
{
	http_reply_text(exchange->request, 200, "ok\n");
}

bool
gateway_is_ready(struct gateway *gateway)
{
	return atomic_load(&gateway->is_ready);
}

void
gateway_get_readyz(const struct exchange *exchange)
{
	if (atomic_load(&exchange->gateway->is_stopping))
		http_reply_text(exchange->request, 503, "stopping\n");
	else if (!gateway_is_ready(exchange->gateway))
		http_reply_text(exchange->request, 503,
				"Kafka's metadata and the partitions to read are not known "
				"yet\n");
	else if (atomic_load(&exchange->gateway->missing_topic))
		http_reply_text(exchange->request, 503,
				"a topic is missing, which the log names: run \"tally topics "
				"create\"\n");
	else
		http_reply_text(exchange->request, 200, "ok\n");
}

void
gateway_get_metrics(const struct exchange *exchange)
{
	http_reply_metrics(exchange->request);
}

void
gateway_answer_unknown(const struct exchange *exchange)
{
	const struct catalog *catalog = exchange->gateway->options.catalog;
	struct tally_error err = { 0 };
	char names[400] = "";
	size_t n = 0;

	for (size_t i = 0; i < catalog_count(catalog) && n < sizeof names; i++)
		n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i > 0 ? ", " : "",
				      catalog_at(catalog, i)->name);
	(void)tally_fail(&err, TALLY_UNKNOWN_DATASET, "there is no such dataset; there are: %s",
			 names);
	exchange_problem(exchange, &err, NULL);
}

static const struct definition *
find_dataset(const struct exchange *exchange)
{
	return catalog_find(exchange->gateway->options.catalog, exchange->variable,
			    exchange->variable_len);
}

void
gateway_get_datasets(const struct exchange *exchange)
{
	exchange_json(exchange, schema_of_catalog(exchange->gateway->options.catalog));
}

void
gateway_get_dataset(const struct exchange *exchange)
{
	const struct definition *definition = find_dataset(exchange);

	if (definition)
		exchange_json(exchange, schema_of_dataset(definition));
	else
		gateway_answer_unknown(exchange);
}

void
gateway_get_rows(const struct exchange *exchange)
{
	const struct definition *definition = find_dataset(exchange);

	if (!definition)
		gateway_answer_unknown(exchange);
	else if (!gateway_respond_async(exchange, definition))
		gateway_ask(exchange, definition);
}
