/* SPDX-License-Identifier: MIT */
#include "lib/engine/rope.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

static const double two_pi = 6.283185307179586;

/* The (fractional) dimension whose wave makes `turns` turns within the original
 * context. */
static double turning_dim(const struct reap_config *c, double turns)
{
	return c->rotary_dim * log(c->yarn_original_context / (turns * two_pi)) /
		(2 * log(c->rope_theta));
}

int reap_rope_init(struct reap_rope *r, const struct reap_config *c, struct reap_err *e)
{
	double low = 0, high = 1;

	*r = (struct reap_rope){.half = c->rotary_dim / 2, .factor = 1};
	r->inv_freq = reap_alloc(r->half, sizeof(*r->inv_freq));
	if (r->inv_freq == NULL)
		return reap_fail_memory(e, "rotary frequencies");
	if (c->yarn) {
		low = turning_dim(c, c->yarn_beta_fast);
		high = turning_dim(c, c->yarn_beta_slow);
		if (c->yarn_truncate) {
			low = floor(low);
			high = ceil(high);
		}
		low = fmax(low, 0);
		high = fmin(high, c->rotary_dim - 1.0);
		if (low == high)
			high += 0.001;
		if (c->yarn_factor > 1)
			r->factor = 0.1 * log(c->yarn_factor) + 1;
	}
	/* Single precision throughout, in the order of the references: the angles
	 * at high positions show the last bit of these. */
	for (size_t i = 0; i < r->half; i++) {
		float f = powf((float)c->rope_theta, (float)(2 * i) / (float)c->rotary_dim);
		float slow = 0;

		if (c->yarn) {
			slow = ((float)i - (float)low) / (float)(high - low);
			slow = fminf(fmaxf(slow, 0), 1);
		}
		/* Fast waves keep their frequency, slow ones are stretched by the factor. */
		float keep = 1.0f - slow;

		r->inv_freq[i] = c->yarn
			? 1.0f / ((float)c->yarn_factor * f) * (1.0f - keep) + 1.0f / f * keep
			: 1.0f / f;
	}
	return REAP_OK;
}

void reap_rope_free(struct reap_rope *r)
{
	free(r->inv_freq);
	free(r->cosine);
	free(r->sine);
	*r = (struct reap_rope){0};
}

int reap_rope_extend(struct reap_rope *r, size_t length, struct reap_err *e)
{
	uint64_t n;
	float *c, *s;

	if (length <= r->length)
		return REAP_OK;
	if (!reap_mul_u64(length, r->half, &n))
		return reap_fail_memory(e, "rotary tables");
	c = reap_alloc(n, sizeof(*c));
	s = reap_alloc(n, sizeof(*s));
	if (c == NULL || s == NULL) {
		free(c);
		free(s);
		return reap_fail_memory(e, "rotary tables");
	}
	for (size_t p = 0; p < length; p++)
		for (size_t i = 0; i < r->half; i++) {
			float angle = (float)p * r->inv_freq[i];

			c[p * r->half + i] = (float)(cos((double)angle) * r->factor);
			s[p * r->half + i] = (float)(sin((double)angle) * r->factor);
		}
	free(r->cosine);
	free(r->sine);
	r->cosine = c;
	r->sine = s;
	r->length = length;
	return REAP_OK;
}
