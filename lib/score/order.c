/* SPDX-License-Identifier: MIT */
#include "lib/score/order.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

/* The bits of a float that is not negative order as the float does: 31 of them,
 * the upper 16 here, the lower 15 below. */
enum { UPPER = 1 << 16, LOWER = 1 << 15 };

struct wanted {
	uint32_t upper;
	uint64_t rank;   /* among the values that share `upper` */
	uint64_t *count; /* (LOWER) of those values; shared by equal `upper`s */
};

struct reap_order {
	uint64_t total;
	uint64_t upper[UPPER];
	uint64_t lower[REAP_ORDER_RANKS][LOWER];
	struct wanted wanted[REAP_ORDER_RANKS];
	int nwanted, nlower;
};

static uint32_t bits_of(float x)
{
	uint32_t b;

	memcpy(&b, &x, sizeof(b));
	return b & 0x7fffffff;
}

struct reap_order *reap_order_open(void)
{
	return reap_calloc(1, sizeof(struct reap_order));
}

void reap_order_close(struct reap_order *o)
{
	free(o);
}

void reap_order_count(struct reap_order *o, float x)
{
	o->upper[bits_of(x) / LOWER]++;
	o->total++;
}

uint64_t reap_order_total(const struct reap_order *o)
{
	return o->total;
}

void reap_order_want(struct reap_order *o, const uint64_t rank[], int n)
{
	o->nwanted = n;
	for (int i = 0; i < n; i++) {
		struct wanted *w = &o->wanted[i];
		uint32_t u = 0;

		w->rank = rank[i];
		while (w->rank >= o->upper[u])
			w->rank -= o->upper[u++];
		w->upper = u;
		w->count = NULL;
		for (int j = 0; j < i; j++)
			if (o->wanted[j].upper == u)
				w->count = o->wanted[j].count;
		if (w->count == NULL)
			w->count = o->lower[o->nlower++];
	}
}

void reap_order_refine(struct reap_order *o, float x)
{
	uint32_t b = bits_of(x), u = b / LOWER;

	for (int i = 0; i < o->nwanted; i++)
		if (o->wanted[i].upper == u) {
			o->wanted[i].count[b % LOWER]++;
			return; /* equal uppers share one array */
		}
}

float reap_order_value(const struct reap_order *o, int i)
{
	const struct wanted *w = &o->wanted[i];
	uint64_t rank = w->rank;
	uint32_t l = 0, b;
	float x;

	while (rank >= w->count[l])
		rank -= w->count[l++];
	b = w->upper * LOWER + l;
	memcpy(&x, &b, sizeof(x));
	return x;
}
