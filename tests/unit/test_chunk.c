/* SPDX-License-Identifier: MIT
 *
 * Which numbers of a layer must be finite: those of kept tokens, in the last layer only of tokens
 * that went through the experts.
 */
#include <math.h>
#include <string.h>

#include "lib/engine/chunk.h"
#include "tests/unit/tap.h"

enum { LAYERS = 3, TOKENS = 4, TOP_K = 2 };

/* What is said of a norm that is NaN. */
static const char *said(uint32_t layer, size_t token)
{
	static struct reap_err e;
	char dir[] = "model";
	struct reap_model m = {.dir = dir, .cfg = {.top_k = TOP_K}};
	struct reap_block block[] = {{.index = 7, .len = 1}, {.index = 9, .len = 3}};
	size_t start[] = {0, 1, 4};
	uint32_t kept[] = {0, 2, 3};
	uint8_t need[] = {1, 1, 1, 0}; /* nobody reads the block's last output */
	float gate[TOKENS * TOP_K] = {0}, norm[TOKENS * TOP_K] = {0};
	struct reap_chunk c = {.m = &m,
		.layers = LAYERS,
		.block = block,
		.blocks = 2,
		.tokens = TOKENS,
		.start = start,
		.kept = kept,
		.kept_count = 3,
		.need = need};

	norm[token * TOP_K + 1] = NAN;
	e = (struct reap_err){0};
	return reap_chunk_keep(&c, layer, NULL, gate, norm, &e) == REAP_OK ? "" : e.text;
}

int main(void)
{
	ok(strstr(said(0, 3), "model: block 9: layer 0: position 2: ") != NULL,
		"a kept token, before the last layer");
	ok(said(0, 1)[0] == '\0', "a token that is not kept");
	ok(strstr(said(LAYERS - 1, 2), "model: block 9: layer 2: position 1: ") != NULL,
		"a kept token, in the last layer");
	ok(said(LAYERS - 1, 3)[0] == '\0',
		"a kept token that no expert of the last layer has seen");
	return tap_done();
}
