#include "worker/task.h"

#include <stdlib.h>
#include <string.h>

#include <tally/request.h>

#include "base/own.h"

OWN_DEFINE(tally_request);

struct task *
task_new(struct lane *lane, size_t size, struct kafka_message *message, uint64_t epoch)
{
	struct task *task = calloc(1, size);

	if (!task) {
		kafka_message_free(message);
		return NULL;
	}
	task->lane = lane;
	task->message = message;
	task->epoch = epoch;
	task->trace = "";
	task->dataset = "";
	return task;
}

void
task_free(struct task *task)
{
	if (!task)
		return;
	params_free(task->params);
	answer_release(task->answer);
	kafka_message_free(task->message);
	free(task->fault);
	free(task);
}

tally_status
task_read_value(struct task *task, const struct plans *plans, struct tally_error *err)
{
	OWN(tally_request) request = NULL;
	struct params_faults faults;
	size_t len;
	const void *value = kafka_message_value(task->message, &len);

	tally_status status = tally_request_decode(value ? value : "", len, &request, err);
	if (status != TALLY_OK)
		return status;
	const struct tally_request_view *view = tally_request_view(request);
	task->plan = plans_find(plans, view->dataset, strlen(view->dataset));
	if (!task->plan)
		return tally_fail(
		    err, TALLY_DATASET_MISMATCH,
		    "the worker has no dataset of this name: give gateways and workers "
		    "the same dataset files");
	const struct definition *definition = plan_definition(task->plan);
	task->dataset = definition->name;
	status = params_from_request(definition, view, &task->params, &faults, err);
	if (status == TALLY_INVALID_PARAMETER) {
		/* The gateway found it right: its definition differs. */
		struct tally_error why = *err;
		return tally_fail(err, TALLY_DATASET_MISMATCH,
				  "the request does not fit the worker's dataset file: %.400s",
				  why.detail);
	}
	if (status != TALLY_OK)
		return status;
	if (plan_is_ready(task->plan))
		return TALLY_OK;
	*err = *plans_error(plans, task->plan);
	return err->status;
}
