/* SPDX-License-Identifier: MIT */
#include "lib/model/values.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/model/checkpoint.h"
#include "lib/model/safetensors.h"

enum { PIECE = 1 << 12 }; /* on a stack, which may be small */

static const char *file_of(const struct reap_model *m, const struct reap_tensor *t)
{
	return m->ckpt->shard[t->shard].path;
}

static bool all_zero(const uint8_t *p, uint64_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static float from_bits(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

/* IEEE 754 binary16: every value is one of binary32. */
static float from_f16(uint16_t h)
{
	const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31,
		       mantissa = h & 1023;
	const float tiny = ldexpf((float)mantissa, -24);

	if (exponent == 31)
		return from_bits(sign | 0x7f800000 | mantissa << 13);
	if (exponent == 0)
		return sign ? -tiny : tiny;
	return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static void floats(enum reap_st_dtype type, const uint8_t *p, size_t n, float *out)
{
	if (type == REAP_ST_F32) {
		memcpy(out, p, n * sizeof(*out));
		return;
	}
	for (size_t i = 0; i < n; i++) {
		uint16_t v;

		memcpy(&v, p + 2 * i, sizeof(v));
		out[i] = type == REAP_ST_F16 ? from_f16(v) : from_bits((uint32_t)v << 16);
	}
}

void reap_tensor_floats(const struct reap_tensor *t, uint64_t first, size_t n, float *out)
{
	floats(t->dtype, t->data + first * reap_st_dtype_size(t->dtype), n, out);
}

/* The bytes of a tensor from `at` on that fit a piece; 0 at its end. */
static size_t piece(const struct reap_tensor *t, uint64_t at)
{
	return t->bytes - at < PIECE ? (size_t)(t->bytes - at) : PIECE;
}

int reap_values_finite(const struct reap_model *m, const struct reap_tensor *t, struct reap_err *e)
{
	const size_t size = reap_st_dtype_size(t->dtype);
	uint8_t bytes[PIECE];
	float value[PIECE / 2];
	size_t n;
	int rc;

	if (t->dtype != REAP_ST_BF16 && t->dtype != REAP_ST_F16 && t->dtype != REAP_ST_F32)
		return REAP_OK;
	for (uint64_t at = 0; (n = piece(t, at)) > 0; at += n) {
		if ((rc = reap_checkpoint_read(m->ckpt, t, at, bytes, n, e)) != REAP_OK)
			return rc;
		floats(t->dtype, bytes, n / size, value);
		for (size_t i = 0; i < n / size; i++)
			if (!isfinite(value[i]))
				return reap_fail(e, REAP_EFAIL, "%s: %s: element %" PRIu64 " is %s",
					file_of(m, t), t->name, at / size + i,
					isnan(value[i]) ? "NaN" : "infinite");
	}
	return REAP_OK;
}

static int check_not_zero(const struct reap_model *m, const struct reap_tensor *t,
	struct reap_err *e)
{
	uint8_t bytes[PIECE];
	size_t n;
	int rc;

	for (uint64_t at = 0; (n = piece(t, at)) > 0; at += n) {
		if ((rc = reap_checkpoint_read(m->ckpt, t, at, bytes, n, e)) != REAP_OK)
			return rc;
		if (!all_zero(bytes, n))
			return REAP_OK;
	}
	return reap_fail(e, REAP_EFAIL,
		"%s: %s: all zero, as a hole in the file reads: it is damaged", file_of(m, t),
		t->name);
}

int reap_values_same(const struct reap_model *m, const struct reap_tensor *a,
	const struct reap_tensor *b, bool *same, struct reap_err *e)
{
	uint8_t x[PIECE], y[PIECE];
	size_t n;
	int rc;

	*same = a->bytes == b->bytes;
	for (uint64_t at = 0; *same && (n = piece(a, at)) > 0; at += n) {
		if ((rc = reap_checkpoint_read(m->ckpt, a, at, x, n, e)) != REAP_OK ||
			(rc = reap_checkpoint_read(m->ckpt, b, at, y, n, e)) != REAP_OK)
			return rc;
		*same = memcmp(x, y, n) == 0;
	}
	return REAP_OK;
}

int reap_values_check(const struct reap_model *m, struct reap_err *e)
{
	int rc = REAP_OK;

	for (size_t i = 0; i < m->bounds && rc == REAP_OK; i++) {
		const struct reap_bound *b = &m->bound[i];

		if (b->spec->flags & REAP_SPEC_FINITE)
			rc = reap_values_finite(m, b->part[REAP_CODES], e);
		if (rc == REAP_OK && (b->spec->flags & REAP_SPEC_NOT_ZERO))
			rc = check_not_zero(m, b->part[REAP_CODES], e);
	}
	return rc;
}

/* A part of one expert's weight, in pieces. */
struct expert_check {
	const char *path;
	struct reap_share share;
	uint32_t expert;
	bool nan;       /* bytes of 255 are NaN */
	bool seen;      /* something but 0 */
	uint64_t bytes; /* looked at */
};

static struct expert_check begin(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert)
{
	return (struct expert_check){.path = file_of(m, b->part[p]),
		.share = reap_expert_share(b, p, expert),
		.expert = expert,
		.nan = b->format == &reap_format_mxfp4 && p == REAP_SCALES};
}

static int check_piece(struct expert_check *c, const uint8_t *p, size_t n, struct reap_err *e)
{
	const uint8_t *bad = c->nan ? memchr(p, REAP_MXFP4_NAN, n) : NULL;

	if (bad != NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: expert %u: scale %" PRIu64 " is 255 (NaN)",
			c->path, c->share.tensor->name, c->expert, c->bytes + (uint64_t)(bad - p));
	c->seen = c->seen || !all_zero(p, n);
	c->bytes += n;
	return REAP_OK;
}

static int check_seen(const struct expert_check *c, struct reap_err *e)
{
	if (c->seen)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"%s: %s: expert %u: all zero, as a hole in the file reads: it is damaged", c->path,
		c->share.tensor->name, c->expert);
}

int reap_values_check_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert, struct reap_err *e)
{
	struct expert_check c = begin(m, b, p, expert);
	uint8_t bytes[PIECE];
	int rc;

	/* Of codes, the first that is not 0 is enough. */
	while (c.bytes < c.share.bytes && (c.nan || !c.seen)) {
		const uint64_t left = c.share.bytes - c.bytes;
		const size_t n = left < PIECE ? (size_t)left : PIECE;

		if ((rc = reap_checkpoint_read(m->ckpt, c.share.tensor, c.share.at + c.bytes, bytes,
			     n, e)) != REAP_OK ||
			(rc = check_piece(&c, bytes, n, e)) != REAP_OK)
			return rc;
	}
	return check_seen(&c, e);
}

/* The same in the mapping. */
static int check_mapped(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert, struct reap_err *e)
{
	struct expert_check c = begin(m, b, p, expert);
	int rc = check_piece(&c, c.share.tensor->data + c.share.at, c.share.bytes, e);

	return rc == REAP_OK ? check_seen(&c, e) : rc;
}

int reap_model_check_expert(const struct reap_model *m, const struct reap_layer *y, uint32_t expert,
	struct reap_err *e)
{
	int rc = REAP_OK;

	if (m->ckpt == NULL)
		return REAP_OK;
	for (size_t i = 0; i < y->bounds; i++)
		for (int p = 0; p < REAP_WEIGHT_PARTS && rc == REAP_OK; p++)
			if ((y->first[i].spec->flags & REAP_SPEC_EXPERT) &&
				reap_bound_has(&y->first[i], expert) && y->first[i].part[p] != NULL)
				rc = check_mapped(m, &y->first[i], (enum reap_weight_part)p, expert,
					e);
	return rc;
}
