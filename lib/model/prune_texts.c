/* SPDX-License-Identifier: MIT */
#include "lib/model/prune_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/model/checkpoint.h"
#include "lib/model/config_edit.h"

/* {"<layer>": {"<old id>": <new id>}}, keys sorted as text: the original's form. */
int reap_prune_write_mapping(struct reap_prune *r, struct reap_err *e)
{
	json_t *root = json_object();
	char *text = NULL, key[16];
	int bad = root == NULL, rc;

	for (uint32_t l = r->plan->dense; l < r->plan->layers && !bad; l++) {
		json_t *map = json_object();

		if (r->o->layers != NULL && !r->o->layers[l]) {
			json_decref(map);
			continue;
		}
		for (uint32_t i = 0; i < r->plan->keep_n && !bad; i++) {
			snprintf(key, sizeof(key), "%u",
				r->plan->keep[(size_t)l * r->plan->keep_n + i]);
			bad = json_object_set_new(map, key, json_integer(i));
		}
		snprintf(key, sizeof(key), "%u", l);
		bad = json_object_set_new(root, key, map) != 0 || bad;
	}
	if (!bad)
		text = reap_json_write(root, JSON_INDENT(2) | JSON_SORT_KEYS);
	json_decref(root);
	if (text == NULL)
		return reap_fail_memory(e, "expert_mapping.json");
	rc = reap_prune_write_text(r, "expert_mapping.json", "expert_mapping.json", text,
		strlen(text), e);
	free(text);
	return rc;
}

static uint32_t new_top_k(const struct reap_prune *r)
{
	return r->plan->keep_n < r->m->cfg.top_k ? r->plan->keep_n : r->m->cfg.top_k;
}

/* `file` is what it is called until the end. */
static int write_edited(struct reap_prune *r, const char *text, size_t len, const char *path,
	const char *file, const char *name, struct reap_err *e)
{
	const struct reap_config_change change = {.arch = r->m->cfg.arch,
		.count = {[REAP_COUNT_EXPERTS] = r->plan->keep_n,
			[REAP_COUNT_TOP_K] = new_top_k(r),
			[REAP_COUNT_AHEAD] = reap_prune_drops_ahead(r) ? 0 : r->m->cfg.ahead},
		.drop_quantisation = r->m->cfg.format == &reap_format_bf16};
	char *edited;
	size_t edited_len;
	int rc = reap_config_edit(text, len, path, &change, &edited, &edited_len, e);

	if (rc != REAP_OK)
		return rc;
	rc = reap_prune_write_text(r, file, name, edited, edited_len, e);
	free(edited);
	return rc;
}

int reap_prune_write_config(struct reap_prune *r, struct reap_err *e)
{
	return write_edited(r, r->m->config_text, r->m->config_len, r->m->config,
		REAP_PRUNE_EARLY_CONFIG, "config.json", e);
}

/* Does the text say how many experts there are? */
static bool counts_experts(const struct reap_prune *r, const char *text, size_t len)
{
	json_error_t why;
	json_t *root = reap_json_read(text, len, 0, &why);
	const bool counts = json_object_get(root, r->m->cfg.arch->count[0].key) != NULL;

	json_decref(root);
	return counts;
}

int reap_prune_write_variant(struct reap_prune *r, const char *path, const char *name, bool *done,
	struct reap_err *e)
{
	char *text;
	size_t len;
	int rc = reap_read_file(path, REAP_MAX_CONFIG, &text, &len, e);

	if (rc != REAP_OK)
		return rc;
	*done = counts_experts(r, text, len);
	if (*done)
		rc = write_edited(r, text, len, path, name, name, e);
	free(text);
	return rc;
}

int reap_prune_write_index(struct reap_prune *r, struct reap_err *e)
{
	char *text;
	size_t len;
	int rc = reap_layout_index(&r->layout, &text, &len, e);

	if (rc != REAP_OK)
		return rc;
	rc = reap_prune_write_text(r, REAP_ST_INDEX, REAP_ST_INDEX, text, len, e);
	free(text);
	return rc;
}
