/* schema.h - what /v1/datasets says of a dataset: its parameters and columns, as JSON. */
#ifndef DATASET_SCHEMA_H
#define DATASET_SCHEMA_H

#include "dataset/catalog.h"

/* {"name","title","hash","params":{JSON Schema},"row":{JSON Schema}} (JSON Schema
 * 2020-12).  The caller frees the text with free(); NULL when out of memory. */
char *schema_of_dataset(const struct definition *definition);

/* {"datasets":[{"name","title","href"}]}.  The caller frees the text with free(); NULL when out of
 * memory. */
char *schema_of_catalog(const struct catalog *catalog);

#endif
