/* SPDX-License-Identifier: MIT
 *
 * Records from JSON objects such as reap-show prints: numeric arrays become bins
 * of the dtype that the field has in that record type.
 */
#ifndef REAP_ENCODE_H
#define REAP_ENCODE_H

#include <jansson.h>

#include "lib/stream/stream.h"

/* Take model and recipe, where they are not null, from a header line; its
 * history is dropped.  `name` stands in messages. */
REAP_MUST_CHECK int reap_encode_header(const json_t *line, struct reap_header *h, const char *name,
	struct reap_err *e);

/* Write one record.  The object must have a string `t`; values that its array
 * fields cannot hold are errors (REAP_EFAIL) that name the field. */
REAP_MUST_CHECK int reap_encode_record(const json_t *line, struct reap_writer *w, const char *name,
	struct reap_err *e);

#endif
