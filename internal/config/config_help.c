/* The table of settings, printed. */
#include "config/config_inner.h"

void
config_help(unsigned program, FILE *out)
{
	size_t n;
	const struct config_setting *settings = config_settings(&n);

	fputs("Settings (environment; TALLY_WAIT_MAX_MS is also the flag --wait-max-ms; "
	      "--config FILE):\n",
	      out);
	for (size_t i = 0; i < n; i++) {
		const struct config_setting *setting = &settings[i];
		if (!(setting->readers & program))
			continue;
		fprintf(out, "  " CONFIG_PREFIX "%-20s %s", setting->name, setting->what);
		if (setting->kind == CONFIG_NUMBER)
			fprintf(out, " [%lld]\n", (long long)setting->number);
		else
			fprintf(out, "%s%s%s\n", setting->text[0] ? " [" : "", setting->text,
				setting->text[0] ? "]" : "");
	}
	if (program & (CONFIG_WORKER | CONFIG_CLI))
		fputs("  " CONFIG_PREFIX "SOURCE_<NAME>        URL of the database that dataset "
		      "files call <name>\n",
		      out);
	fputs("  " CONFIG_PREFIX "KAFKA_<PROPERTY>     any librdkafka property: "
	      "TALLY_KAFKA_SECURITY_PROTOCOL\n"
	      "  " CONFIG_PREFIX "<X>_FILE             a file that holds the value of a text <X>\n",
	      out);
}

void
config_markdown(FILE *out)
{
	static const char *const readers[] = {
		"",
		"gateway",
		"worker",
		"both",
		"command line",
		"gateway, command line",
		"worker, command line",
		"all",
	};
	size_t n;
	const struct config_setting *settings = config_settings(&n);

	fputs("| setting | default | read by | what |\n|---|---|---|---|\n", out);
	for (size_t i = 0; i < n; i++) {
		const struct config_setting *setting = &settings[i];
		if (setting->kind == CONFIG_NUMBER)
			fprintf(out, "| `" CONFIG_PREFIX "%s` | %lld (%lld to %lld) | %s | %s |\n",
				setting->name, (long long)setting->number, (long long)setting->min,
				(long long)setting->max, readers[setting->readers], setting->what);
		else
			fprintf(out, "| `" CONFIG_PREFIX "%s` | %s | %s | %s |\n", setting->name,
				setting->text, readers[setting->readers], setting->what);
	}
	fputs("| `" CONFIG_PREFIX
	      "SOURCE_<NAME>` |  | worker, command line | URL of the database that "
	      "dataset files call `<name>`; `DATABASE_URL1`, `DATABASE_URL2` stand in for `db1`, "
	      "`db2` |\n"
	      "| `" CONFIG_PREFIX "KAFKA_<PROPERTY>` |  | all | any librdkafka property |\n"
	      "| `" CONFIG_PREFIX
	      "<X>_FILE` |  | all | a file that holds the value of a text `<X>` |\n",
	      out);
}
