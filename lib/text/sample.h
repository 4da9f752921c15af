/* SPDX-License-Identifier: MIT
 *
 * Which rows are used: the division in a calibration and an evaluation part,
 * and samples.  Both go by hashes of the row's key (its text), so they depend on
 * no order, and rows of equal text share their fate.
 */
#ifndef REAP_SAMPLE_H
#define REAP_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/progress.h"
#include "lib/text/rows.h"

/* ---- parts ---- */

enum reap_part { REAP_PART_ALL, REAP_PART_CALIB, REAP_PART_EVAL };
const char *reap_part_name(enum reap_part p); /* "all", "calib", "eval" */

/* A row belongs to the evaluation part iff BLAKE2b-64("holdout\n" key) / 2^64 is
 * below the held out fraction, 0 < fraction < 1. */
struct reap_part_rule {
	enum reap_part part;
	double fraction; /* not looked at with REAP_PART_ALL */
};
bool reap_part_has(const struct reap_part_rule *rule, const struct reap_row *row);

/* ---- samples ----
 *
 * The original's bottom-k sample: the rows with the smallest
 * BLAKE2b-64(decimal seed, "\n", key), equal scores by place.  per_file: the
 * ceil(rows / files) smallest of each file, and of these the `rows` smallest;
 * per_file_weighted: max(1, ceil(rows * w_i / sum w)) of file i instead; global:
 * the smallest of all.  They come in ascending order of score. */
enum reap_strategy { REAP_PER_FILE, REAP_PER_FILE_WEIGHTED, REAP_GLOBAL };

struct reap_pick {
	uint64_t score;
	uint64_t count;  /* rows of all files before this one; makes the order total */
	uint64_t number; /* in its file */
	uint64_t at, size;
	uint32_t file;
};

struct reap_sample_opts {
	uint64_t rows;
	uint64_t seed;
	enum reap_strategy strategy;
	const double *weight; /* (files), >= 0; with REAP_PER_FILE_WEIGHTED */
	struct reap_part_rule rule;
};

struct reap_sample {
	struct reap_pick *pick; /* (n) in their order; owned */
	size_t n;
	uint64_t (
		*skipped)[REAP_SKIP_COUNT]; /* (files) rows that were read and not picked; owned */
	/* The two values that the original calls prompt_hash.  hash: BLAKE2b with
	 * 16 bytes of the first 512 characters of each text (first 2048 bytes of
	 * other keys), joined by "\n".  prompt_sha256: SHA-256 of the rows' ids
	 * joined by "\n", "\n", the texts joined by "\n"; the rows of a sample have
	 * empty ids. */
	char hash[REAP_BLAKE2B_128_HEX];
	char prompt_sha256[REAP_SHA256_HEX];
};

/* Sample the files, each opened with `again`.  Fewer rows than asked for is an
 * error that counts those of each file. */
REAP_MUST_CHECK int reap_sample_take(struct reap_sample *s, struct reap_rows *const *files,
	size_t n_files, const struct reap_sample_opts *o, struct reap_progress *p,
	struct reap_err *e);
void reap_sample_free(struct reap_sample *s);

#endif
