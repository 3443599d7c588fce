/* ask.c - asks Tally through Kafka and prints the answer.
 *
 *   cc ask.c $(pkg-config --cflags --libs tally) -o ask
 *   ./ask 127.0.0.1:9092 comments login vladimir */
#include <stdio.h>
#include <string.h>

#include <tally/client.h>

static tally_status
ask(struct tally_client *client, const struct tally_request_view *request, struct tally_error *err)
{
	struct tally_submission how = { 0 };
	struct tally_answer answer;
	struct tally_job_id id;
	tally_status status;

	how.budget_ms = 30000;
	status = tally_client_submit(client, request, &how, &id, err);
	if (status != TALLY_OK)
		return status;
	fprintf(stderr, "job %s\n", id.text);
	status = tally_client_await(client, &id, 35000, &answer, err);
	if (status != TALLY_OK)
		return status;
	if (answer.result.state == TALLY_SUCCEEDED)
		puts(answer.body);
	else
		*err = answer.error;
	status = answer.result.error_code;
	tally_answer_fini(&answer);
	return status;
}

int
main(int argc, char **argv)
{
	struct tally_request_param params[TALLY_REQUEST_MAX_PARAMS];
	struct tally_request_view request = { 0 };
	struct tally_client_settings settings = { 0 };
	struct tally_client *client = NULL;
	struct tally_error err = { 0 };
	tally_status status;

	if (argc < 3 || argc % 2 == 0 || argc / 2 > TALLY_REQUEST_MAX_PARAMS) {
		fputs("usage: ask SERVERS DATASET [NAME VALUE]...\n", stderr);
		return 2;
	}
	request.dataset = argv[2];
	request.params = params;
	for (int i = 3; i < argc; i += 2)
		params[request.n_params++] =
		    (struct tally_request_param){ argv[i], TALLY_JSON_STRING, argv[i + 1],
						  strlen(argv[i + 1]) };
	settings.kafka.servers = argv[1];
	settings.source = "/examples/ask";
	status = tally_client_open(&settings, 10000, &client, &err);
	if (status == TALLY_OK)
		status = ask(client, &request, &err);
	tally_client_free(client);
	if (status != TALLY_OK)
		fprintf(stderr, "%s: %s\n", tally_status_code(status), err.detail);
	return status == TALLY_OK ? 0 : 1;
}
