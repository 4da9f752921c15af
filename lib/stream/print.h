/* SPDX-License-Identifier: MIT
 *
 * Records as JSON, one on a line; encode.h is the way back.
 */
#ifndef REAP_PRINT_H
#define REAP_PRINT_H

#include <stdio.h>

#include "lib/stream/stream.h"

/* One value of a record that a reader gave. */
void reap_print_value(const msgpack_object *o, FILE *f);

/* The whole record, or header.  The array fields of its type become lists, nested by
 * dimension: in lists of numbers NaN is null, "inf" and "-inf" are the infinities, and
 * any other NaN is "nan:" and its bits.  Other arrays, and those whose shape a list does
 * not show, stay objects of dtype, shape and a flat list as data. */
void reap_print_record(const struct reap_rec *rec, const struct reap_header *h, FILE *f);

#endif
