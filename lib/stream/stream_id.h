/* SPDX-License-Identifier: MIT
 *
 * What identifies a stream that lies in a file: all that it says, but how it came about
 * (the history) and how its model's directory is called.
 */
#ifndef REAP_STREAM_ID_H
#define REAP_STREAM_ID_H

#include "lib/base/hash.h"
#include "lib/stream/stream.h"

/* Two digests and what joins them. */
enum { REAP_STREAM_ID = 2 * REAP_SHA256_HEX };

/* The SHA-256 of header and records.  Of a token stream two, joined by `-`: of its data,
 * which are the blocks and what an eval repeats of the pack records, and of the rest.  A
 * trace or an eval, which may be large, is not read: CRC-32C and length, as its end record
 * has them, history and all.  `r` has read the header of the file `fd`. */
REAP_MUST_CHECK int reap_stream_id(struct reap_reader *r, int fd, char id[REAP_STREAM_ID],
	struct reap_err *e);

#endif
