/* SPDX-License-Identifier: MIT
 *
 * What a stream is, for people.
 */
#ifndef REAP_SUMMARY_H
#define REAP_SUMMARY_H

#include <stdio.h>

#include "lib/stream/stream.h"

/* Kind, model, recipe, history, the records that speak of the whole stream, and how many
 * there are of each type.  Reads all of it. */
REAP_MUST_CHECK int reap_print_summary(struct reap_reader *r, FILE *f, struct reap_err *e);

/* The command that made the stream, as a shell wants it; "" if its history does not say. */
void reap_made_by(const struct reap_header *h, char *command, size_t size);

#endif
