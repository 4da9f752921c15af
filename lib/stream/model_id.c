/* SPDX-License-Identifier: MIT */
#include "lib/stream/model_id.h"

#include <string.h>

int reap_model_id_match(const char *a_name, const struct reap_model_id *a, const char *b_name,
	const struct reap_model_id *b, struct reap_err *e)
{
	if (a->layers != b->layers)
		return reap_fail(e, REAP_EFAIL, "%s: %u layers, but %s has %u", a_name, a->layers,
			b_name, b->layers);
	if (a->dense != b->dense)
		return reap_fail(e, REAP_EFAIL, "%s: %u layers without experts, but %s has %u",
			a_name, a->dense, b_name, b->dense);
	if (a->experts != b->experts)
		return reap_fail(e, REAP_EFAIL, "%s: %u experts, but %s has %u", a_name, a->experts,
			b_name, b->experts);
	if (a->top_k != b->top_k)
		return reap_fail(e, REAP_EFAIL, "%s: top_k %u, but %s has %u", a_name, a->top_k,
			b_name, b->top_k);
	if (a->free_gates != b->free_gates)
		return reap_fail(e, REAP_EFAIL,
			"%s: the gates of a token %s sum to 1, but those of %s %s", a_name,
			a->free_gates ? "need not" : "must", b_name,
			b->free_gates ? "need not" : "must");
	/* Published score tables name no digest: then the shape has to do. */
	if (a->digest[0] != '\0' && b->digest[0] != '\0' && strcmp(a->digest, b->digest) != 0)
		return reap_fail(e, REAP_EFAIL, "%s: model digest %.16s..., but %s has %.16s...",
			a_name, a->digest, b_name, b->digest);
	return REAP_OK;
}

bool reap_model_id_doubtful(const struct reap_model_id *a, const struct reap_model_id *b)
{
	const char *x = strrchr(a->id, '/'), *y = strrchr(b->id, '/');

	if (a->digest[0] != '\0' && b->digest[0] != '\0')
		return false;
	if (x != NULL && y != NULL)
		return strcmp(a->id, b->id) != 0;
	return strcmp(x != NULL ? x + 1 : a->id, y != NULL ? y + 1 : b->id) != 0;
}
