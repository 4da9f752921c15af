/* SPDX-License-Identifier: MIT */
#include "lib/score/region.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/score/order.h"

enum reap_region reap_region_of(const struct reap_thresholds *t, float logp, float entropy)
{
	double p = reap_token_p(logp), h = entropy;

	if (t->rule == REAP_RULE_POLICY) {
		if (p > t->p_lo)
			return REAP_GOOD;
		if (h <= t->h_lo)
			return REAP_CONFLICT;
		return h >= t->h_hi ? REAP_UNCERTAIN : REAP_GOOD;
	}
	if (h > t->h_lo)
		return REAP_UNCERTAIN;
	return p >= t->p_lo ? REAP_GOOD : REAP_CONFLICT;
}

/* A quantile lies between two neighbours of the sorted values. */
struct between {
	uint64_t low, high; /* their ranks */
	double part;        /* of the way from the lower to the higher */
};

struct reap_quantiles {
	struct reap_thresholds *t;
	/* exp is monotone, so the order statistics of p are those of logp.  What is
	 * ordered is -logp, which is not negative: ranks count from the other end. */
	struct reap_order *surprise, *entropy;
	struct between p, h_lo, h_hi;
};

struct reap_quantiles *reap_quantiles_open(struct reap_thresholds *t)
{
	struct reap_quantiles *q = reap_calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->t = t;
	q->surprise = reap_order_open();
	q->entropy = reap_order_open();
	if (q->surprise == NULL || q->entropy == NULL) {
		reap_quantiles_close(q);
		return NULL;
	}
	return q;
}

void reap_quantiles_close(struct reap_quantiles *q)
{
	if (q == NULL)
		return;
	reap_order_close(q->surprise);
	reap_order_close(q->entropy);
	free(q);
}

static float surprise_of(float logp)
{
	return logp < -50.0F ? 50.0F : -logp;
}

void reap_quantiles_count(struct reap_quantiles *q, float logp, float entropy)
{
	reap_order_count(q->surprise, surprise_of(logp));
	reap_order_count(q->entropy, entropy);
}

static struct between place(double quantile, uint64_t n)
{
	double at = quantile * (double)(n - 1);
	uint64_t low = (uint64_t)at;
	struct between b = {.low = low, .high = low + 1, .part = at - (double)low};

	if (low >= n - 1)
		b = (struct between){.low = n - 1, .high = n - 1};
	return b;
}

bool reap_quantiles_turn(struct reap_quantiles *q)
{
	uint64_t n = reap_order_total(q->surprise), rank[4];

	if (n == 0)
		return false;
	q->p = place(q->t->cc_quantile, n);
	q->h_lo = q->p;
	q->h_hi = place(q->t->uncertain_quantile, n);
	rank[0] = n - 1 - q->p.low;
	rank[1] = n - 1 - q->p.high;
	reap_order_want(q->surprise, rank, 2);
	rank[0] = q->h_lo.low;
	rank[1] = q->h_lo.high;
	rank[2] = q->h_hi.low;
	rank[3] = q->h_hi.high;
	reap_order_want(q->entropy, rank, 4);
	return true;
}

void reap_quantiles_refine(struct reap_quantiles *q, float logp, float entropy)
{
	reap_order_refine(q->surprise, surprise_of(logp));
	reap_order_refine(q->entropy, entropy);
}

/* As numpy forms it, so that results agree to the last bit: from the nearer end. */
static double interpolate(double a, double b, double part)
{
	return part >= 0.5 ? b - (b - a) * (1 - part) : a + (b - a) * part;
}

void reap_quantiles_finish(struct reap_quantiles *q)
{
	q->t->p_lo = interpolate(reap_token_p(-reap_order_value(q->surprise, 0)),
		reap_token_p(-reap_order_value(q->surprise, 1)), q->p.part);
	q->t->h_lo = interpolate(reap_order_value(q->entropy, 0), reap_order_value(q->entropy, 1),
		q->h_lo.part);
	q->t->h_hi = interpolate(reap_order_value(q->entropy, 2), reap_order_value(q->entropy, 3),
		q->h_hi.part);
}
