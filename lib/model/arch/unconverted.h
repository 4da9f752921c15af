/* SPDX-License-Identifier: MIT
 *
 * The lists in quantization_config of modules that are left as they are.  Loaders go by them, but
 * the tensors say what is there.
 */
#ifndef REAP_UNCONVERTED_H
#define REAP_UNCONVERTED_H

#include <jansson.h>

#include "lib/base/err.h"
#include "lib/model/model.h"

/* Set c->unconverted and c->converted.  What c says of sizes and format must be there.  `name`
 * stands in messages. */
REAP_MUST_CHECK int reap_unconverted(struct reap_config *c, const json_t *root, const char *name,
	struct reap_err *e);

#endif
