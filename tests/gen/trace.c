/* SPDX-License-Identifier: MIT
 *
 * A made-up trace on standard output, for tests and speed: every block is a
 * function of its number, so shards of one trace fit together.
 *
 *   trace LAYERS EXPERTS TOP_K TOKENS BLOCKS [FIRST [STEP [OUTCOMES]]]
 *
 * writes the blocks FIRST, FIRST + STEP, ... below BLOCKS; OUTCOMES 0 leaves the
 * outcomes out.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/stream/rec_trace.h"

static uint64_t state;

/* SplitMix64: any seed is a good one. */
static uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static double uniform(void)
{
	return (double)(next() >> 11) * 0x1p-53;
}

static void choose(uint16_t *id, float *gate, float *norm, uint32_t k, uint32_t experts)
{
	double sum = 0;

	for (uint32_t j = 0; j < k; j++) {
		bool taken;

		do {
			/* Low ids are chosen more often. */
			id[j] = (uint16_t)(uniform() * uniform() * experts);
			taken = false;
			for (uint32_t i = 0; i < j; i++)
				taken = taken || id[i] == id[j];
		} while (taken);
		gate[j] = (float)(uniform() + 0.01);
		sum += gate[j];
		norm[j] = (float)(exp(4 * uniform()) * (1 + id[j] % 7));
	}
	for (uint32_t j = 0; j < k; j++)
		gate[j] = (float)(gate[j] / sum);
}

int main(int argc, char **argv)
{
	unsigned long a[8] = {4, 32, 4, 100, 8, 0, 1, 1};
	struct reap_header h = {.kind = REAP_KIND_TRACE, .has_model = true};
	struct reap_writer *w;
	struct reap_source source;
	struct reap_err e = {0};
	uint32_t *pos, n;
	uint16_t *id;
	float *gate, *norm, *logp, *entropy;
	uint8_t *top1;
	uint32_t k;

	for (int i = 1; i < argc && i <= 8; i++)
		a[i - 1] = strtoul(argv[i], NULL, 10);
	snprintf(h.model.id, sizeof(h.model.id), "made-up");
	memset(h.model.digest, 'a', 64);
	h.model.layers = (uint32_t)a[0];
	h.model.experts = (uint32_t)a[1];
	h.model.top_k = k = (uint32_t)a[2];
	pos = reap_alloc(a[3], 4);
	id = reap_alloc(a[3] * k, 2);
	gate = reap_alloc(a[3] * k, 4);
	norm = reap_alloc(a[3] * k, 4);
	logp = reap_alloc(a[3], 4);
	entropy = reap_alloc(a[3], 4);
	top1 = reap_alloc(a[3], 1);
	if (!pos || !id || !gate || !norm || !logp || !entropy || !top1)
		return 1;
	if (reap_writer_open(&w, STDOUT_FILENO, "standard output", &h, &e) != REAP_OK)
		goto failed;
	for (unsigned long b = a[5]; b < a[4]; b += a[6]) {
		struct reap_route r = {.block = b,
			.k = k,
			.positions = pos,
			.experts = id,
			.gates = gate,
			.norms = norm};
		struct reap_outcome o = {.block = b,
			.positions = pos,
			.logp = logp,
			.entropy = entropy,
			.top1 = top1};

		state = b * 0x100000001b3;
		/* Some blocks keep position 0, and lengths differ. */
		n = (uint32_t)(a[3] - b % 3 * (a[3] / 8));
		for (uint32_t i = 0; i < n; i++)
			pos[i] = i * 2 + (uint32_t)(b % 2);
		snprintf(r.pack, sizeof(r.pack), "pack%lu", b % 3);
		snprintf(o.block_sha256, sizeof(o.block_sha256), "%064lx", b);
		memcpy(r.block_sha256, o.block_sha256, sizeof(r.block_sha256));
		memcpy(o.pack, r.pack, sizeof(o.pack));
		r.n = o.n = n;
		for (uint32_t l = 0; l < h.model.layers; l++) {
			for (uint32_t i = 0; i < n; i++)
				choose(id + (size_t)i * k, gate + (size_t)i * k,
					norm + (size_t)i * k, k, h.model.experts);
			r.layer = l;
			if (reap_put_route(w, &r, &e) != REAP_OK)
				goto failed;
		}
		for (uint32_t i = 0; i < n; i++) {
			bool first = pos[i] == 0;
			double u = uniform();

			logp[i] = first ? NAN : (float)(-12 * u * u);
			entropy[i] = first ? NAN : (float)uniform();
			top1[i] = !first && u < 0.24; /* whatever has p above a half */
		}
		if (a[7] && reap_put_outcome(w, &o, &e) != REAP_OK)
			goto failed;
	}
	source.blocks = a[4];
	snprintf(source.tokens_sha256, sizeof(source.tokens_sha256), "%032lx%032lx", a[3], a[4]);
	if (reap_put_source(w, &source, &e) != REAP_OK || reap_writer_finish(w, &e) != REAP_OK) {
	failed:
		fprintf(stderr, "trace: %s\n", e.text);
	}
	free(pos);
	free(id);
	free(gate);
	free(norm);
	free(logp);
	free(entropy);
	free(top1);
	return e.code != REAP_OK;
}
