/* SPDX-License-Identifier: MIT
 *
 * Printing the parsed JSON again would rewrite numbers (1e-05 becomes
 * 1.0000000000000001e-05) and layout.  So values are exchanged in the text,
 * which the parser has accepted before, and the result is parsed and compared
 * with what was meant.
 */
#include "lib/model/config_edit.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/json_walk.h"
#include "lib/base/mem.h"

struct edit {
	const char *key;
	uint32_t value;
	bool add, drop, done; /* add: when absent; drop: the key goes */
};
/* One for each key that counts, and the last for quantization_config. */
enum { EDITS = REAP_COUNT_KEYS + 1 };

static struct edit *find(struct edit *edits, const char *key, size_t n)
{
	for (int i = 0; i < EDITS; i++)
		if (!edits[i].done && strlen(edits[i].key) == n &&
			memcmp(edits[i].key, key, n) == 0)
			return &edits[i];
	return NULL;
}

/* Text from..to behind the n bytes of `out`. */
static size_t append(char *out, size_t n, const char *from, const char *to)
{
	memcpy(out + n, from, (size_t)(to - from));
	return n + (size_t)(to - from);
}

static char *rewrite(const char *text, size_t len, struct edit *edits, size_t *out_len)
{
	const char *p, *end = text + len;
	const char *from = text; /* what is not yet in the output */
	const char *begin;       /* of a member, with the comma before it if there is one */
	size_t n = 0;
	char *out = reap_alloc(len + EDITS * 64, 1);

	if (out == NULL)
		return NULL;
	p = reap_json_skip_space(text, end) + 1;
	p = reap_json_skip_space(p, end);
	begin = p;
	while (p < end && *p == '"') {
		const char *key = p + 1, *value;
		const bool first = begin == p;
		struct edit *edit;

		p = reap_json_skip_value(p, end);
		edit = find(edits, key, (size_t)(p - 1 - key));
		p = reap_json_skip_space(p, end);
		p++; /* the colon */
		p = reap_json_skip_space(p, end);
		value = p;
		p = reap_json_skip_value(p, end);
		if (edit == NULL)
			n = append(out, n, from, p);
		else if (edit->drop)
			n = append(out, n, from, begin);
		else
			n = append(out, n, from, value);
		if (edit != NULL && !edit->drop)
			n += (size_t)sprintf(out + n, "%" PRIu32, edit->value);
		if (edit != NULL)
			edit->done = true;
		begin = from = p;
		p = reap_json_skip_space(p, end);
		if (p < end && *p == ',')
			p++;
		p = reap_json_skip_space(p, end);
		if (edit != NULL && edit->drop && first)
			begin = from = p;
	}
	for (int i = 0; i < EDITS; i++)
		if (edits[i].add && !edits[i].done)
			n += (size_t)sprintf(out + n, ",\n  \"%s\": %" PRIu32, edits[i].key,
				edits[i].value);
	*out_len = append(out, n, from, text + len);
	return out;
}

int reap_config_edit(const char *text, size_t len, const char *name,
	const struct reap_config_change *c, char **out, size_t *out_len, struct reap_err *e)
{
	struct edit edits[EDITS] = {[REAP_COUNT_KEYS] = {"quantization_config", .drop = true,
					    .done = !c->drop_quantisation}};
	struct reap_err why = {0};
	json_t *want = NULL, *got = NULL;
	int rc = reap_json_parse(text, len, name, &want, e);

	*out = NULL;
	if (rc != REAP_OK)
		return rc;
	for (int i = 0; i < REAP_COUNT_KEYS; i++) {
		const struct reap_count_key *k = &c->arch->count[i];

		edits[i] = (struct edit){k->key != NULL ? k->key : "", c->count[k->of],
			.add = k->add, .done = k->key == NULL};
	}
	for (int i = 0; i < EDITS; i++)
		if (edits[i].drop && !edits[i].done)
			json_object_del(want, edits[i].key);
		else if (!edits[i].drop && !edits[i].done &&
			(edits[i].add || json_object_get(want, edits[i].key) != NULL))
			json_object_set_new(want, edits[i].key, json_integer(edits[i].value));
	*out = rewrite(text, len, edits, out_len);
	if (*out == NULL)
		rc = reap_fail_memory(e, name);
	else if (reap_json_parse(*out, *out_len, name, &got, &why) != REAP_OK ||
		!json_equal(want, got)) /* a key that is spelled with escapes */
		rc = reap_fail(e, REAP_EFAIL,
			"%s: the numbers of experts cannot be exchanged in it", name);
	json_decref(want);
	json_decref(got);
	if (rc != REAP_OK) {
		free(*out);
		*out = NULL;
	}
	return rc;
}
