/* SPDX-License-Identifier: MIT
 *
 * How the numbers of a weight lie in tensors: one descriptor a format.  A weight has
 * its codes in one tensor and, where a format has scales, these in another.
 */
#ifndef REAP_FORMAT_H
#define REAP_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/model/tensor.h"

enum reap_weight_part { REAP_CODES, REAP_SCALES, REAP_WEIGHT_PARTS };

struct reap_format_part {
	const char *ending;       /* of the tensor's name, behind the weight's */
	const char *types;        /* for messages: "BF16, F32 or F16" */
	enum reap_st_dtype of[3]; /* the types that it may have, the usual one first ... */
	int kinds;                /* ... and how many; 0: there is no such part */
};

struct reap_format {
	const char *name;
	struct reap_format_part part[REAP_WEIGHT_PARTS];
	/* Numbers of a row that share a scale, and the bytes of their codes, which are a
	 * dimension of their own; 0: every number is an element. */
	uint32_t group, group_bytes;
	uint32_t tile; /* the numbers of this many rows and columns share a scale; 0: they do not */
};

/* A weight in BF16 is used where it lies.  A small weight (a norm, a bias, a router) may be of
 * every type that holds what training in BF16 or FP32 leaves. */
extern const struct reap_format reap_format_bf16, reap_format_small;

/* OCP Microscaling Formats 1.0: groups of 32 numbers of 4 bits, two a byte, and for each
 * group a scale byte s that stands for 2^(s-127). */
extern const struct reap_format reap_format_mxfp4;

enum { REAP_FP8_TILE = 128 };

/* E4M3 of OCP 8-bit Floating Point 1.0, without infinities: a float scale multiplies each square
 * of 128 numbers a side; a smaller side is one whole. */
extern const struct reap_format reap_format_fp8;

/* The largest scale byte with which every number is finite, in BF16 too, and the one that
 * stands for NaN. */
enum { REAP_MXFP4_MOST = 252, REAP_MXFP4_NAN = 255 };

bool reap_format_takes(const struct reap_format *f, enum reap_weight_part p,
	enum reap_st_dtype type);

/* Shape of a part of a weight whose numbers have the shape dim[0 .. n - 1]; returns its
 * dimensions. */
int reap_format_shape(const struct reap_format *f, enum reap_weight_part p, const uint64_t *dim,
	int n, uint64_t *shape);

/* Bytes of all parts of such a weight in the usual types. */
uint64_t reap_format_bytes(const struct reap_format *f, const uint64_t *dim, int n);

#endif
