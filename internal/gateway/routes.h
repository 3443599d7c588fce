/* routes.h - the gateway's API as a table. */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "gateway/route.h"

/* All routes; *out_n is how many.  A static array. */
const struct route *gateway_routes(size_t *out_n);

#endif
