#include "gateway/form.h"

#include <string.h>

#include "gateway/problem.h"

void
form_init(struct form *form, const struct http_request *request)
{
	*form = (struct form){ .csv_safe = true };
	accept_read_request(request, &form->accept);
}

bool
form_take(struct form *form, const struct http_argument *argument, struct params_faults *faults)
{
	if (strcmp(argument->name, "format") == 0) {
		form->has_format = true;
		if (!transcode_format_parse(argument->value, argument->len, &form->format))
			problem_add_fault(faults, "format", "must be json, csv or ndjson");
		return true;
	}
	if (strcmp(argument->name, "csv_safe") != 0)
		return false;
	if (strcmp(argument->value, "0") != 0 && strcmp(argument->value, "1") != 0)
		problem_add_fault(faults, "csv_safe", "must be 0 or 1");
	form->csv_safe = strcmp(argument->value, "0") != 0;
	return true;
}

tally_status
form_choose(struct form *form, enum transcode_format preferred, struct tally_error *err)
{
	if (form->has_format || accept_choose(&form->accept, preferred, &form->format))
		return TALLY_OK;
	return tally_fail(err, TALLY_NOT_ACCEPTABLE,
			  "there are application/json, text/csv and application/x-ndjson");
}
