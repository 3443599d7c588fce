/* API keys.  A key is made here and nowhere kept: the file of the gateways has its SHA-256. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "gateway/tenants.h"

#define N_LIMITS 3

/* Whether the words after "new" are a tenant and limits. */
static int
check_words(const struct cli *cli)
{
	const char *tenant = cli->n_words > 1 ? cli->words[1] : "";
	int limit;

	if (cli->n_words < 2 || strcmp(cli->words[0], "new") != 0)
		return cli_usage(&command_keys, "keys takes: new TENANT");
	if (!tally_tenant_is_valid(tenant, strlen(tenant)))
		return cli_usage(&command_keys, "a tenant's name is 1 to %d of A-Z a-z 0-9 _ . -",
				 TALLY_TENANT_MAX);
	if (cli->n_words > 2 + N_LIMITS)
		return cli_usage(&command_keys, "there are at most %d limits", N_LIMITS);
	for (size_t i = 2; i < cli->n_words; i++) {
		if (!cli_number(cli->words[i], 0, TENANTS_LIMIT_MAX, &limit))
			return cli_usage(&command_keys,
					 "a limit is a whole number from 0 (none) to %d",
					 TENANTS_LIMIT_MAX);
	}
	return CLI_OK;
}

static int
run(struct cli *cli)
{
	char key[TENANT_KEY_CHARS + 1], sha256[65];
	int code = check_words(cli);

	if (code != CLI_OK)
		return code;
	tally_status status = tenant_key_make(key, sha256);
	if (status != TALLY_OK)
		return cli_fail(status, &(struct tally_error){ .detail = "no randomness" });
	(void)printf("%s\n%s %s", key, cli->words[1], sha256);
	for (size_t i = 2; i < cli->n_words; i++)
		(void)printf(" %s", cli->words[i]);
	(void)putchar('\n');
	(void)fputs(
	    "tally: the first line is the key, which is shown only now; the second is for the "
	    "file of TALLY_API_KEYS, which gateways read again on SIGHUP\n",
	    stderr);
	return CLI_OK;
}

const struct cli_command command_keys = {
	"keys",
	"make an API key",
	"usage: tally keys new TENANT [REQUESTS_A_SECOND [IN_FLIGHT [WAITING]]]\n"
	"\n"
	"Prints a new key, which nobody can show again, and the line for the file that\n"
	"TALLY_API_KEYS names.  A tenant may have several keys; its limits are those of its last\n"
	"line that has some: requests a second, requests without an answer yet, and those that\n"
	"wait for a job or follow its events; 0 is no limit.\n"
	"\n"
	"    tally keys new acme 100 50 20\n",
	run,
};
