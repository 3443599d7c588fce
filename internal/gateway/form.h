/* form.h - the form in which a caller wants rows: format= and csv_safe= of the query, else Accept,
 * else what is preferred here. */
#ifndef GATEWAY_FORM_H
#define GATEWAY_FORM_H

#include "dataset/params.h"
#include "dataset/transcode.h"
#include "gateway/accept.h"
#include "http/server.h"

struct form {
	struct accept accept;
	bool has_format; /* format= was given */
	bool csv_safe;
	enum transcode_format format; /* after form_choose */
};

/* Begins with a request's Accept. */
void form_init(struct form *form, const struct http_request *request);

/* Takes an argument of the query when it is format or csv_safe, which are Tally's own; false when
 * it is neither.  What is wrong with it is noted. */
bool
form_take(struct form *form, const struct http_argument *argument, struct params_faults *faults);

/* Decides the format.  TALLY_NOT_ACCEPTABLE: the caller takes none of ours. */
TALLY_MUST_CHECK tally_status form_choose(struct form *form, enum transcode_format preferred,
					  struct tally_error *err);

#endif
