#include <criterion/criterion.h>

#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"

extern char **environ;

static char folder[] = "/tmp/tally-config-XXXXXX";
static char path[64];  /* of the --config file */
static char other[64]; /* of a file that holds a value */
static struct tally_error err;
static struct config *config;

static void
start(void)
{
	environ = NULL; /* what the tester's shell has set does not matter */
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/tally.env", folder);
	snprintf(other, sizeof other, "%s/value", folder);
}

static void
end(void)
{
	config_free(config);
	(void)unlink(path);
	(void)unlink(other);
	(void)rmdir(folder);
}

TestSuite(config, .init = start, .fini = end);

static void
write_text(const char *to, const char *text)
{
	FILE *file = fopen(to, "we");

	cr_assert(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

/* Loads for a program with flags, NULL-ended. */
static tally_status
load_flags(unsigned program, bool keep, char **flags)
{
	char *argv[16] = { (char[]){ "tally" } };
	int argc = 1;

	while (flags && flags[argc - 1]) {
		argv[argc] = flags[argc - 1];
		argc++;
	}
	config_free(config);
	config = NULL;
	return config_load(program, argc, argv, keep, &config, &err);
}

#define LOAD(program, ...) load_flags(program, false, (char *[]){ __VA_ARGS__, NULL })

static char kafka_flag[] = "--kafka=k:1";
static char config_flag[] = "--config";

static void
expect_wrong(tally_status status, const char *reason)
{
	cr_expect_eq(status, TALLY_WRONG_SETTING);
	cr_expect_null(config);
	cr_expect_str_eq(err.detail, reason);
}

Test(config, has_defaults)
{
	char host[64] = "";
	char name[96];

	cr_assert_eq(LOAD(CONFIG_GATEWAY, kafka_flag), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(config->kafka, "k:1");
	cr_expect_str_eq(config->listen, "127.0.0.1:8080");
	cr_expect_str_eq(config->datasets, "deploy/datasets");
	cr_expect_eq(config->drain_ms, 10000);
	cr_expect_eq(config->open, 0);
	cr_expect_eq(config->reply_partition, -1);
	cr_expect_eq(config->n_sources, 0);
	cr_expect_eq(config->n_words, 0);
	(void)gethostname(host, sizeof host - 1);
	snprintf(name, sizeof name, "%s-%d", host, (int)getpid());
	cr_expect_str_eq(config->instance, name);
}

Test(config, the_file_goes_before_defaults_the_environment_before_it_flags_before_all)
{
	write_text(path, "# settings\n\n  TALLY_KAFKA=file:1\r\nTALLY_DRAIN_MS=1\n"
			 "TALLY_WAITERS_MAX=1\nTALLY_LISTEN=a=b\nTALLY_SOURCE_DB1=f1\n"
			 "TALLY_SOURCE_DB2=f2\nTALLY_KAFKA_CLIENT_ID=f");
	setenv("TALLY_DRAIN_MS", "2", 1);
	setenv("TALLY_WAITERS_MAX", "2", 1);
	setenv("TALLY_SOURCE_DB2", "e2", 1);
	setenv("TALLY_KAFKA_FETCH_WAIT_MAX_MS", "5", 1);
	char flag[] = "--waiters-max", value[] = "3", source[] = "--source-big-one=s3";
	cr_assert_eq(LOAD(CONFIG_BOTH, flag, value, config_flag, path, source), TALLY_OK, "%s",
		     err.detail);
	cr_expect_str_eq(config->datasets, "deploy/datasets");
	cr_expect_str_eq(config->kafka, "file:1");
	cr_expect_str_eq(config->listen, "a=b");
	cr_expect_eq(config->drain_ms, 2);
	cr_expect_eq(config->waiters_max, 3);
	cr_expect_eq(config->n_sources, 3);
	cr_expect_str_eq(config_source(config, "db1"), "f1");
	cr_expect_str_eq(config_source(config, "db2"), "e2");
	cr_expect_str_eq(config_source(config, "big_one"), "s3");
	cr_expect_null(config_source(config, "db"));
	cr_assert_eq(config->n_properties, 2);
	cr_expect_str_eq(config->properties[0].name, "client.id");
	cr_expect_str_eq(config->properties[1].name, "fetch.wait.max.ms");
	cr_expect_str_eq(config->properties[1].value, "5");
}

Test(config, the_file_may_be_named_in_the_environment_or_with_an_equals_sign)
{
	char flag[80];

	write_text(path, "TALLY_KAFKA=file:1\n");
	setenv("TALLY_CONFIG", path, 1);
	cr_assert_eq(load_flags(CONFIG_GATEWAY, false, NULL), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(config->kafka, "file:1");
	unsetenv("TALLY_CONFIG");
	snprintf(flag, sizeof flag, "--config=%s", path);
	cr_assert_eq(LOAD(CONFIG_GATEWAY, flag), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(config->kafka, "file:1");
}

Test(config, a_value_may_stand_in_a_file_of_its_own)
{
	write_text(other, "postgresql://u:p@h/d\r\n\n");
	setenv("TALLY_SOURCE_DB1_FILE", other, 1);
	setenv("TALLY_KAFKA_SASL_PASSWORD_FILE", other, 1);
	cr_assert_eq(LOAD(CONFIG_WORKER, kafka_flag), TALLY_OK, "%s", err.detail);
	cr_assert_eq(config->n_sources, 1);
	cr_expect_str_eq(config_source(config, "db1"), "postgresql://u:p@h/d");
	cr_assert_eq(config->n_properties, 1);
	cr_expect_str_eq(config->properties[0].name, "sasl.password");
	cr_expect_str_eq(config->properties[0].value, "postgresql://u:p@h/d");
}

Test(config, a_file_of_a_value_must_be_readable_and_small)
{
	char flag[128], reason[256], text[9000];

	snprintf(flag, sizeof flag, "--kafka-file=%s", other);
	snprintf(reason, sizeof reason,
		 "TALLY_KAFKA_FILE (from a flag): %s: No such file or directory", other);
	expect_wrong(LOAD(CONFIG_GATEWAY, flag), reason);
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	write_text(other, text);
	snprintf(reason, sizeof reason,
		 "TALLY_KAFKA_FILE (from a flag): %s is larger than 8191 bytes", other);
	expect_wrong(LOAD(CONFIG_GATEWAY, flag), reason);
	snprintf(flag, sizeof flag, "--kafka-file=%s", folder);
	snprintf(reason, sizeof reason, "TALLY_KAFKA_FILE (from a flag): %s: Is a directory",
		 folder);
	expect_wrong(LOAD(CONFIG_GATEWAY, flag), reason);
}

Test(config, a_number_is_whole_and_in_its_range)
{
	static const char *const wrong[] = { "",   "a",      "1a", "1.5",
					     "-1", "600001", " ",  "99999999999999999999" };
	char flag[64];

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		snprintf(flag, sizeof flag, "--drain-ms=%s", wrong[i]);
		expect_wrong(LOAD(CONFIG_GATEWAY, kafka_flag, flag),
			     "TALLY_DRAIN_MS (from a flag) is a whole number from 0 to 600000");
	}
	snprintf(flag, sizeof flag, "--drain-ms=600000");
	cr_assert_eq(LOAD(CONFIG_GATEWAY, kafka_flag, flag), TALLY_OK);
	cr_expect_eq(config->drain_ms, 600000);
	setenv("TALLY_REPLY_PARTITION", "-2", 1);
	expect_wrong(LOAD(CONFIG_GATEWAY, kafka_flag),
		     "TALLY_REPLY_PARTITION (from the environment) is a whole number from -1 to "
		     "65535");
}

Test(config, open_is_a_switch)
{
	char flag[] = "--open", off[] = "--open=0", word[] = "word";

	cr_assert_eq(LOAD(CONFIG_GATEWAY, kafka_flag, flag, word), TALLY_OK, "%s", err.detail);
	cr_expect_eq(config->open, 1);
	cr_assert_eq(config->n_words, 1);
	cr_expect_str_eq(config->words[0], "word");
	cr_assert_eq(LOAD(CONFIG_GATEWAY, kafka_flag, off), TALLY_OK);
	cr_expect_eq(config->open, 0);
}

Test(config, refuses_an_unknown_flag_but_keeps_it_when_asked_to)
{
	char flag[] = "--colour", value[] = "red", last[] = "--dataset=x", kafka[] = "--kafka",
	     dash[] = "-", dashes[] = "--", file[] = "--datasets-file=x";
	char *flags[] = { flag, value, last, kafka, value, dash, dashes, NULL };
	char name[140];

	expect_wrong(LOAD(CONFIG_GATEWAY, kafka_flag, flag), "there is no flag --colour: see "
							     "--help");
	expect_wrong(LOAD(CONFIG_GATEWAY, kafka_flag, last), "there is no flag --dataset=x: see "
							     "--help");
	cr_assert_eq(load_flags(CONFIG_CLI, true, flags), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(config->kafka, "red");
	cr_assert_eq(config->n_words, 5);
	cr_expect_str_eq(config->words[0], "--colour");
	cr_expect_str_eq(config->words[2], "--dataset=x");
	cr_expect_str_eq(config->words[4], "--");
	expect_wrong(LOAD(CONFIG_GATEWAY, kafka), "--kafka needs a value");
	memset(name, 'x', sizeof name - 1);
	memcpy(name, "--", 2);
	name[sizeof name - 1] = '\0';
	cr_expect_eq(LOAD(CONFIG_GATEWAY, name), TALLY_WRONG_SETTING);
	/* A setting's file is known, too, and not kept. */
	cr_expect_eq(load_flags(CONFIG_CLI, true, (char *[]){ file, NULL }), TALLY_WRONG_SETTING);
}

Test(config, leaves_the_environments_other_names_alone)
{
	setenv("TALLY_PORT_8080_TCP_ADDR", "10.0.0.1", 1);
	setenv("TALLY_KAFKA_PORT", "tcp://10.0.0.2:9092", 1);
	setenv("TALLY_KAFKA_SERVICE_HOST", "10.0.0.2", 1);
	setenv("TALLY_SECRETS_FILE", "/nonexistent", 1);
	setenv("TALLYHO", "x", 1);
	setenv("TALLY_DRAIN_MSX", "x", 1);
	cr_expect_eq(LOAD(CONFIG_GATEWAY, kafka_flag), TALLY_OK, "%s", err.detail);
	cr_expect_eq(config->n_properties, 0);
}

Test(config, names_the_line_of_a_file_that_is_wrong)
{
	static const struct {
		const char *text;
		const char *before; /* the path */
		const char *after;
	} cases[] = {
		{ "\nTALLY_KAFKA\n",    "",                                        ":2: a line is KEY=VALUE"              },
		{ "KAFKA=x\n",          "",					":1: KAFKA does not begin with TALLY_" },
		{ "TALLY_OPEN=2\n",     "TALLY_OPEN (from ",                       ":1) is a whole number from 0 to 1"    },
		{ "TALLY_COLOUR=red\n", "there is no setting TALLY_COLOUR (from ",
                 ":1): see --help"											},
	};
	char reason[256], text[9000];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		write_text(path, cases[i].text);
		snprintf(reason, sizeof reason, "%s%s%s", cases[i].before, path, cases[i].after);
		expect_wrong(LOAD(CONFIG_GATEWAY, config_flag, path), reason);
	}
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	write_text(path, text);
	snprintf(reason, sizeof reason, "%s:1: the line is too long", path);
	expect_wrong(LOAD(CONFIG_GATEWAY, config_flag, path), reason);
	snprintf(reason, sizeof reason, "--config %s: Is a directory", folder);
	expect_wrong(LOAD(CONFIG_GATEWAY, config_flag, folder), reason);
	snprintf(reason, sizeof reason, "--config %s: No such file or directory", other);
	expect_wrong(LOAD(CONFIG_GATEWAY, config_flag, other), reason);
}

Test(config, the_old_names_of_the_databases_stand_in)
{
	setenv("DATABASE_URL1", "one", 1);
	setenv("DATABASE_URL2", "two", 1);
	setenv("TALLY_SOURCE_DB2", "new", 1);
	cr_assert_eq(LOAD(CONFIG_WORKER, kafka_flag), TALLY_OK, "%s", err.detail);
	cr_expect_str_eq(config_source(config, "db1"), "one");
	cr_expect_str_eq(config_source(config, "db2"), "new");
}

Test(config, asks_for_what_a_program_cannot_do_without)
{
	char help[] = "--help", version[] = "--version";

	expect_wrong(load_flags(CONFIG_GATEWAY, false, NULL),
		     "TALLY_KAFKA is not set: it names Kafka's bootstrap servers, such as "
		     "127.0.0.1:9092");
	expect_wrong(LOAD(CONFIG_WORKER, kafka_flag),
		     "no database is set: TALLY_SOURCE_DB1=postgresql://... and so on");
	cr_expect_eq(load_flags(CONFIG_CLI, false, NULL), TALLY_OK);
	cr_assert_eq(LOAD(CONFIG_WORKER, help), TALLY_OK);
	cr_expect(config->wants_help && !config->wants_version);
	cr_assert_eq(LOAD(CONFIG_WORKER, version), TALLY_OK);
	cr_expect(config->wants_version);
}

Test(config, the_usual_wait_is_not_above_the_longest)
{
	char flag[] = "--wait-max-ms=2000";

	cr_assert_eq(LOAD(CONFIG_GATEWAY, kafka_flag, flag), TALLY_OK);
	cr_expect_eq(config->wait_default_ms, 2000);
}

Test(config, there_are_limits_to_names)
{
	char flag[128], name[64], empty[] = "--source-=x";

	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	snprintf(flag, sizeof flag, "--source-%s=u", name);
	cr_expect_eq(LOAD(CONFIG_CLI, flag), TALLY_OK, "%s", err.detail);
	expect_wrong(LOAD(CONFIG_CLI, empty),
		     "TALLY_SOURCE_ (from a flag): the name after TALLY_SOURCE_ is 1 to 63 "
		     "characters long");
	snprintf(flag, sizeof flag, "--source-%sx=u", name);
	cr_expect_eq(LOAD(CONFIG_CLI, flag), TALLY_WRONG_SETTING);
	for (int i = 0; i <= CONFIG_MAX_PAIRS; i++) {
		snprintf(flag, sizeof flag, "TALLY_SOURCE_S%d", i);
		setenv(flag, "u", 1);
	}
	cr_expect_eq(load_flags(CONFIG_CLI, false, NULL), TALLY_WRONG_SETTING);
	cr_expect(strstr(err.detail, "there are more than 64 of these"), "%s", err.detail);
}

/* What print writes; the caller frees it. */
static char *
printed(void (*print)(unsigned, FILE *), unsigned program)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	cr_assert(out);
	print(program, out);
	cr_assert_eq(fclose(out), 0);
	return text;
}

static void
print_markdown(unsigned program, FILE *out)
{
	(void)program;
	config_markdown(out);
}

static void
expect_has(const char *text, const char *part)
{
	cr_expect(strstr(text, part), "no \"%s\" in:\n%s", part, text);
}

Test(config, help_lists_what_a_program_reads)
{
	char *gateway = printed(config_help, CONFIG_GATEWAY);
	char *worker = printed(config_help, CONFIG_WORKER);

	expect_has(gateway, "  TALLY_LISTEN               address and port of the HTTP API "
			    "[127.0.0.1:8080]\n");
	expect_has(gateway, "[10000]\n");
	expect_has(gateway, "  TALLY_KAFKA                bootstrap servers, host:port[,host:port];"
			    " required\n");
	expect_has(gateway, "TALLY_KAFKA_<PROPERTY>");
	cr_expect_null(strstr(gateway, "TALLY_SOURCE_<NAME>"));
	cr_expect_null(strstr(gateway, "TALLY_BATCH_MAX"));
	cr_expect_null(strstr(worker, "TALLY_LISTEN "));
	expect_has(worker, "TALLY_SOURCE_<NAME>");
	free(gateway);
	free(worker);
}

Test(config, markdown_is_a_table_of_four_columns)
{
	char *text = printed(print_markdown, 0);
	size_t rows = 0;

	expect_has(text, "| `TALLY_KAFKA` |  | all | bootstrap servers");
	expect_has(text, "| `TALLY_DRAIN_MS` | 10000 (0 to 600000) | both | ");
	expect_has(text, "| `TALLY_BATCH_BYTES` | 33554432 (1048576 to 4294967296) | worker, "
			 "command line | ");
	for (char *line = text, *next; *line; line = next + 1, rows++) {
		int bars = 0;
		next = strchr(line, '\n');
		cr_assert(next);
		for (const char *at = line; at < next; at++)
			bars += *at == '|';
		cr_expect_eq(bars, 5, "%.*s", (int)(next - line), line);
	}
	cr_expect_gt(rows, 30);
	free(text);
}

static void
write_bytes(const char *to, const char *bytes, size_t len)
{
	FILE *file = fopen(to, "we");

	cr_assert(file);
	cr_assert_eq(fwrite(bytes, 1, len, file), len);
	cr_assert_eq(fclose(file), 0);
}

/* What stands behind a NUL would be overlooked: of a secret, or of a line. */
Test(config, takes_no_nul_byte_in_a_file)
{
	static const char lines[] = "TALLY_KAFKA=k:1\nTALLY_API_KEY=abc\0def\n";
	static const char last[] = "TALLY_KAFKA=k:1\0";
	static const char secret[] = "abc\0def\n";
	char flag[96], reason[160];

	write_bytes(path, lines, sizeof lines - 1);
	snprintf(reason, sizeof reason, "%s:2: the line has a NUL byte", path);
	expect_wrong(LOAD(CONFIG_CLI, config_flag, path), reason);
	write_bytes(path, last, sizeof last - 1);
	snprintf(reason, sizeof reason, "%s:1: the line has a NUL byte", path);
	expect_wrong(LOAD(CONFIG_CLI, config_flag, path), reason);
	write_bytes(other, secret, sizeof secret - 1);
	snprintf(flag, sizeof flag, "--api-key-file=%s", other);
	snprintf(reason, sizeof reason, "TALLY_API_KEY_FILE (from a flag): %s has a NUL byte",
		 other);
	expect_wrong(LOAD(CONFIG_CLI, flag), reason);
}
