/* SPDX-License-Identifier: MIT
 *
 * What makes two checkpoints the same model: what config.json computes, and the
 * tensors with their bytes.  Files, their names, the spelling of config.json and
 * everything beside the weights do not matter.
 *
 * Weights are sampled: reading 60 GB for a name would take longer than many runs.
 * A tensor of up to 2 MiB enters whole.  A larger one enters with 4 KiB of every
 * 4 MiB, and with 4 KiB of every expert at the least, at places that its name
 * fixes.  So another fine-tune, an exchanged file and an expert set to zero
 * differ; a few values changed by hand in a large tensor may not.
 */
#ifndef REAP_IDENTITY_H
#define REAP_IDENTITY_H

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/model/checkpoint.h"
#include "lib/model/model.h"

/* Reads the files, in their order, not through a mapping. */
REAP_MUST_CHECK int reap_identify(const struct reap_config *cfg, const struct reap_checkpoint *c,
	char digest[REAP_SHA256_HEX], struct reap_err *e);

#endif
