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

/* Small ones: 30 MB in all for 120B.  Biases and sinks may be zero. */
static int check_layer(const struct reap_model *m, const struct reap_layer *y, struct reap_err *e)
{
	const struct reap_tensor *const finite[] = {y->input_norm, y->q_b, y->k_b, y->v_b, y->o_b,
		y->sinks, y->post_norm, y->router_w, y->router_b};
	const struct reap_tensor *const weights[] = {y->input_norm, y->q_w, y->k_w, y->v_w, y->o_w,
		y->post_norm, y->router_w};
	int rc = REAP_OK;

	for (size_t i = 0; i < sizeof(finite) / sizeof(*finite) && rc == REAP_OK; i++)
		if (finite[i] != NULL)
			rc = reap_values_finite(m, finite[i], e);
	for (size_t i = 0; i < sizeof(weights) / sizeof(*weights) && rc == REAP_OK; i++)
		rc = check_not_zero(m, weights[i], e);
	return rc;
}

int reap_values_check(const struct reap_model *m, struct reap_err *e)
{
	const struct reap_tensor *const weights[] = {m->embed, m->final_norm, m->lm_head};
	int rc = reap_values_finite(m, m->final_norm, e);

	for (size_t i = 0; i < sizeof(weights) / sizeof(*weights) && rc == REAP_OK; i++)
		rc = check_not_zero(m, weights[i], e);
	for (uint32_t l = 0; l < m->cfg.layers && rc == REAP_OK; l++)
		rc = check_layer(m, &m->layer[l], e);
	return rc;
}

/* One expert of a tensor of experts, in pieces. */
struct expert_check {
	const char *path;
	const struct reap_tensor *tensor;
	uint32_t expert;
	bool scales;
	bool seen;      /* something but 0 */
	uint64_t bytes; /* looked at */
};

static int check_piece(struct expert_check *c, const uint8_t *p, size_t n, struct reap_err *e)
{
	const uint8_t *bad = c->scales ? memchr(p, REAP_MXFP4_NAN, n) : NULL;

	if (bad != NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: expert %u: scale %" PRIu64 " is 255 (NaN)",
			c->path, c->tensor->name, c->expert, c->bytes + (uint64_t)(bad - p));
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
		c->tensor->name, c->expert);
}

int reap_values_check_expert(const struct reap_model *m, const struct reap_tensor *t,
	uint32_t expert, bool scales, struct reap_err *e)
{
	const uint64_t each = t->bytes / t->shape[0];
	struct expert_check c = {file_of(m, t), t, expert, scales, false, 0};
	uint8_t bytes[PIECE];
	int rc;

	/* Of blocks, the first that is not 0 is enough. */
	while (c.bytes < each && (scales || !c.seen)) {
		const size_t n = each - c.bytes < PIECE ? (size_t)(each - c.bytes) : PIECE;

		if ((rc = reap_checkpoint_read(m->ckpt, t, expert * each + c.bytes, bytes, n, e)) !=
				REAP_OK ||
			(rc = check_piece(&c, bytes, n, e)) != REAP_OK)
			return rc;
	}
	return check_seen(&c, e);
}

int reap_model_check_expert(const struct reap_model *m, const struct reap_layer *y, uint32_t expert,
	struct reap_err *e)
{
	const struct reap_tensor *const part[] = {y->gate_up_scales, y->down_scales,
		y->gate_up_blocks, y->down_blocks};
	int rc;

	if (m->ckpt == NULL)
		return REAP_OK;
	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
		struct expert_check c = {.expert = expert, .tensor = part[i], .scales = i < 2};
		uint64_t each;

		if (part[i] == NULL)
			continue;
		each = part[i]->bytes / part[i]->shape[0];
		c.path = file_of(m, part[i]);
		if ((rc = check_piece(&c, part[i]->data + each * expert, each, e)) != REAP_OK ||
			(rc = check_seen(&c, e)) != REAP_OK)
			return rc;
	}
	return REAP_OK;
}
