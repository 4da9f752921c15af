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

/* E4M3 without infinities. */
static float from_fp8(uint8_t b)
{
	const int exponent = b >> 3 & 15, mantissa = b & 7;
	const float size = (b & 127) == 127 ? NAN
		: exponent == 0             ? ldexpf((float)mantissa, -9)
					    : ldexpf((float)(8 + mantissa), exponent - 10);

	return b & 128 ? -size : size;
}

static void floats(enum reap_st_dtype type, const uint8_t *p, size_t n, float *out)
{
	if (type == REAP_ST_F32) {
		memcpy(out, p, n * sizeof(*out));
		return;
	}
	for (size_t i = 0; type == REAP_ST_F8_E4M3 && i < n; i++)
		out[i] = from_fp8(p[i]);
	for (size_t i = 0; type != REAP_ST_F8_E4M3 && i < n; i++) {
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
		if (b->spec->flags & REAP_SPEC_NOT_ZERO)
			for (int p = 0; p < REAP_WEIGHT_PARTS && rc == REAP_OK; p++)
				if (b->part[p] != NULL)
					rc = check_not_zero(m, b->part[p], e);
	}
	return rc;
}

/* ---- while it is read ---- */

struct reap_watch reap_watch_tensor(const struct reap_model *m, const struct reap_tensor *t,
	uint64_t from)
{
	return (struct reap_watch){.path = file_of(m, t),
		.tensor = t,
		.from = from,
		.at = from,
		.finite = true};
}

struct reap_watch reap_watch_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert)
{
	const struct reap_share s = reap_expert_share(b, p, expert);
	struct reap_watch w = reap_watch_tensor(m, s.tensor, s.at);

	w.expert = expert;
	w.of_expert = true;
	w.scales = b->format == &reap_format_mxfp4 && p == REAP_SCALES;
	return w;
}

/* The bits of the exponents in eight bytes; all of them set is NaN or infinity.  0: a type
 * without such. */
static uint64_t exponents(enum reap_st_dtype type)
{
	switch (type) {
	case REAP_ST_BF16:
		return 0x7f807f807f807f80;
	case REAP_ST_F16:
		return 0x7c007c007c007c00;
	case REAP_ST_F32:
		return 0x7f8000007f800000;
	case REAP_ST_F8_E4M3: /* has no infinity, and one mantissa of NaN */
		return 0x7f7f7f7f7f7f7f7f;
	default:
		return 0;
	}
}

/* Eight bytes at a time: one added to an exponent of ones carries into the place of the
 * sign. */
static bool all_finite(uint64_t exponent, const uint8_t *p, size_t n)
{
	const uint64_t one = exponent & ~(exponent << 1), sign = ~exponent & (exponent << 1);
	uint64_t word, carried = 0;

	for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		carried |= (word & exponent) + one;
	}
	word = 0;
	memcpy(&word, p, n);
	carried |= (word & exponent) + one;
	return (carried & sign) == 0;
}

static int refuse_number(const struct reap_watch *w, const uint8_t *p, size_t n, struct reap_err *e)
{
	const size_t size = reap_st_dtype_size(w->tensor->dtype);
	float v = 0;
	size_t i = 0;

	for (; i < n / size; i++) {
		floats(w->tensor->dtype, p + i * size, 1, &v);
		if (!isfinite(v))
			break;
	}
	return reap_fail(e, REAP_EFAIL, "%s: %s: element %" PRIu64 " is %s", w->path,
		w->tensor->name, w->at / size + i, isnan(v) ? "NaN" : "infinite");
}

/* A scale with which a number is not finite; NULL: none. */
static const uint8_t *bad_scale(const uint8_t *p, size_t n)
{
	const uint8_t *bad = NULL;

	for (int s = REAP_MXFP4_NAN; s > REAP_MXFP4_MOST && bad == NULL; s--)
		bad = memchr(p, s, n);
	return bad;
}

int reap_watch_look(void *watch, const uint8_t *p, size_t n, struct reap_err *e)
{
	struct reap_watch *w = watch;
	const uint64_t exponent = w->finite ? exponents(w->tensor->dtype) : 0;
	const uint8_t *bad = w->scales ? bad_scale(p, n) : NULL;

	if (bad != NULL)
		return reap_fail(e, REAP_EFAIL, "%s: %s: expert %u: scale %" PRIu64 " is %u (%s)",
			w->path, w->tensor->name, w->expert, w->at - w->from + (uint64_t)(bad - p),
			*bad, *bad == REAP_MXFP4_NAN ? "NaN" : "infinity");
	if (exponent != 0 && !all_finite(exponent, p, n))
		return refuse_number(w, p, n, e);
	w->seen = w->seen || !all_zero(p, n);
	w->at += n;
	return REAP_OK;
}

int reap_watch_end(const struct reap_watch *w, struct reap_err *e)
{
	if (w->seen || !w->of_expert)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"%s: %s: expert %u: all zero, as a hole in the file reads: it is damaged", w->path,
		w->tensor->name, w->expert);
}

int reap_values_finite(const struct reap_model *m, const struct reap_tensor *t, struct reap_err *e)
{
	struct reap_watch w = reap_watch_tensor(m, t, 0);
	uint8_t bytes[PIECE];
	size_t n;
	int rc = REAP_OK;

	while (exponents(t->dtype) != 0 && (n = piece(t, w.at)) > 0 && rc == REAP_OK)
		if ((rc = reap_checkpoint_read(m->ckpt, t, w.at, bytes, n, e)) == REAP_OK)
			rc = reap_watch_look(&w, bytes, n, e);
	return rc;
}

int reap_values_check_expert(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert, struct reap_err *e)
{
	struct reap_watch w = reap_watch_expert(m, b, p, expert);
	const uint64_t end = w.at + reap_expert_share(b, p, expert).bytes;
	uint8_t bytes[PIECE];
	int rc;

	/* Of codes, the first that is not 0 is enough. */
	while (w.at < end && (w.scales || !w.seen)) {
		const size_t n = end - w.at < PIECE ? (size_t)(end - w.at) : PIECE;

		if ((rc = reap_checkpoint_read(m->ckpt, w.tensor, w.at, bytes, n, e)) != REAP_OK ||
			(rc = reap_watch_look(&w, bytes, n, e)) != REAP_OK)
			return rc;
	}
	return reap_watch_end(&w, e);
}

/* The same in the mapping.  Numbers that are not finite show in the results. */
static int check_mapped(const struct reap_model *m, const struct reap_bound *b,
	enum reap_weight_part p, uint32_t expert, struct reap_err *e)
{
	const struct reap_share s = reap_expert_share(b, p, expert);
	struct reap_watch w = reap_watch_expert(m, b, p, expert);
	int rc;

	w.finite = false;
	rc = reap_watch_look(&w, s.tensor->data + s.at, s.bytes, e);
	return rc == REAP_OK ? reap_watch_end(&w, e) : rc;
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
