/* SPDX-License-Identifier: MIT
 *
 * Records from JSON objects such as print.h writes: what was printed comes back as it was.
 */
#ifndef REAP_ENCODE_H
#define REAP_ENCODE_H

#include <jansson.h>

#include "lib/stream/stream.h"

/* Take what the header line of a stream of `kind` says into h, which is empty; what the line
 * lacks is nil.  `name` stands in messages. */
REAP_MUST_CHECK int reap_encode_header(const json_t *line, enum reap_kind kind,
	struct reap_header *h, const char *name, struct reap_err *e);

/* Write one record to the stream whose header is h.  The object must have a string `t`;
 * values that no record may hold are errors (REAP_EFAIL) that name the field. */
REAP_MUST_CHECK int reap_encode_record(const json_t *line, const struct reap_header *h,
	struct reap_writer *w, const char *name, struct reap_err *e);

#endif
