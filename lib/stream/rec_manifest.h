/* SPDX-License-Identifier: MIT
 *
 * kind `manifest`: what reap-rewrite wrote and what it cost.
 *
 *   file:     name (below the target), bytes, sha256
 *   total:    mode ("rewrite", "layers", "probe"), files, wall_s, bytes_read,
 *             bytes_written, shards_touched (source files read from), peak_rss
 *             (bytes), verified (bool: all was read back and compared),
 *             model_digest (of the checkpoint written, "" but in mode "rewrite")
 *   estimate: (mode "probe", after total) bytes_read, bytes_written, wall_s,
 *             shards_touched of rewriting all layers
 */
#ifndef REAP_REC_MANIFEST_H
#define REAP_REC_MANIFEST_H

#include "lib/base/hash.h"
#include "lib/stream/stream.h"

struct reap_manifest_file {
	const char *name;
	uint64_t bytes;
	char sha256[REAP_SHA256_HEX];
};

struct reap_manifest_total {
	const char *mode;
	uint32_t files;
	double wall_s;
	uint64_t bytes_read, bytes_written;
	uint32_t shards_touched;
	uint64_t peak_rss;
	bool verified;
	char model_digest[REAP_SHA256_HEX];
};

REAP_MUST_CHECK int reap_put_manifest_file(struct reap_writer *w,
	const struct reap_manifest_file *f, struct reap_err *e);
REAP_MUST_CHECK int reap_put_manifest_total(struct reap_writer *w,
	const struct reap_manifest_total *t, struct reap_err *e);

/* Takes the four costs of *t. */
REAP_MUST_CHECK int reap_put_manifest_estimate(struct reap_writer *w,
	const struct reap_manifest_total *t, struct reap_err *e);

#endif
