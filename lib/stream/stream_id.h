/* SPDX-License-Identifier: MIT
 *
 * What identifies a stream in a file: all that it says, except how it came about (the history)
 * and what its model's directory is called.
 */
#ifndef REAP_STREAM_ID_H
#define REAP_STREAM_ID_H

#include "lib/base/hash.h"
#include "lib/stream/stream.h"

/* Two digests and what joins them. */
enum { REAP_STREAM_ID = 2 * REAP_SHA256_HEX };

/* The SHA-256 of header and records.  A token stream has two, joined by `-`: one of its data (the
 * blocks, and what an eval repeats of the pack records), and one of the rest.  A trace or an eval
 * may be large, so it is not read: its identity is the CRC-32C and the length that its end record
 * gives, which take in the history.  `r` has read the header of the file `fd`. */
REAP_MUST_CHECK int reap_stream_id(struct reap_reader *r, int fd, char id[REAP_STREAM_ID],
	struct reap_err *e);

#endif
