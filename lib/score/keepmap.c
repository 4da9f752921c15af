/* SPDX-License-Identifier: MIT */
#include "lib/score/keepmap.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/json.h"
#include "lib/base/mem.h"

enum { MAX_BYTES = 64 << 20, NOT_THERE = -1 };

/* The experts of a layer that the file names. */
struct layer {
	int64_t named;  /* how many; NOT_THERE: the file says nothing of this layer */
	uint32_t *id;   /* (experts) in their new order */
	bool *is_named; /* (experts) */
};

struct map {
	const char *path;
	uint32_t layers, dense, experts;
	bool of_pruned;      /* the file names those that go */
	struct layer *layer; /* (layers) */
	struct reap_err *e;
};

/* ---- layers ---- */

/* "7", or "model.layers.7.mlp". */
static bool layer_number(const char *key, uint64_t *n)
{
	const char *digits = key;
	char *end;

	if (*key < '0' || *key > '9') {
		if ((digits = strstr(key, "layers.")) == NULL ||
			(digits != key && digits[-1] != '.'))
			return false;
		digits += strlen("layers.");
	}
	if (*digits < '0' || *digits > '9' || strlen(digits) > 200)
		return false;
	*n = strtoull(digits, &end, 10);
	return *end == '\0' || (*end == '.' && digits != key);
}

/* Begin a layer that the file names, with no expert yet. */
static int begin_layer(struct map *m, uint64_t number)
{
	if (number >= m->layers)
		return reap_fail(m->e, REAP_EFAIL,
			"%s: layer %" PRIu64 ", but the model has %u (from 0)", m->path, number,
			m->layers);
	if (m->layer[number].named != NOT_THERE)
		return reap_fail(m->e, REAP_EFAIL, "%s: layer %" PRIu64 " is there twice", m->path,
			number);
	m->layer[number].named = 0;
	return REAP_OK;
}

/* Put an expert down as the new expert `to` of the layer. */
static int put_expert(struct map *m, uint64_t layer, uint64_t id, size_t to)
{
	struct layer *y = &m->layer[layer];

	if (y->is_named[id])
		return reap_fail(m->e, REAP_EFAIL,
			"%s: layer %" PRIu64 ": expert %" PRIu64 " is there twice", m->path, layer,
			id);
	y->is_named[id] = true;
	y->id[to] = (uint32_t)id;
	y->named++;
	return REAP_OK;
}

/* Put an expert down as the next one. */
static int add_expert(struct map *m, uint64_t layer, const json_t *id)
{
	const json_int_t v = json_integer_value(id);

	if (!json_is_integer(id) || v < 0 || v >= m->experts)
		return reap_fail(m->e, REAP_EFAIL,
			"%s: layer %" PRIu64 ": an expert that is not a number from 0 to %u",
			m->path, layer, m->experts - 1);
	return put_expert(m, layer, (uint64_t)v, (size_t)m->layer[layer].named);
}

/* {"old id": new id, ...} */
static int get_mapping(struct map *m, uint64_t layer, json_t *mapping)
{
	const size_t n = json_object_size(mapping);
	bool taken[REAP_MAX_EXPERTS] = {false};
	const char *key;
	json_t *value;
	int rc;

	if (n > m->experts)
		return reap_fail(m->e, REAP_EFAIL,
			"%s: layer %" PRIu64 ": %zu experts, but the model has %u", m->path, layer,
			n, m->experts);
	json_object_foreach (mapping, key, value) {
		const json_int_t to = json_integer_value(value);
		char *end;
		const unsigned long long from = strtoull(key, &end, 10);

		if (*key < '0' || *key > '9' || *end != '\0' || from >= m->experts)
			return reap_fail(m->e, REAP_EFAIL,
				"%s: layer %" PRIu64
				": '%.40s' is neither kept_experts nor an expert from 0 to %u",
				m->path, layer, key, m->experts - 1);
		if (!json_is_integer(value) || to < 0 || (size_t)to >= n || taken[to])
			return reap_fail(m->e, REAP_EFAIL,
				"%s: layer %" PRIu64
				": expert %llu: its new number is not from 0 to %zu, or is given twice",
				m->path, layer, from, n - 1);
		taken[to] = true;
		if ((rc = put_expert(m, layer, from, (size_t)to)) != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

static int get_layer(struct map *m, uint64_t number, json_t *v)
{
	json_t *kept = json_object_get(v, "kept_experts"), *id;
	int rc = begin_layer(m, number);
	size_t i;

	if (kept != NULL)
		v = kept;
	if (rc == REAP_OK && json_is_object(v) && !m->of_pruned)
		return get_mapping(m, number, v);
	if (rc == REAP_OK && !json_is_array(v))
		return reap_fail(m->e, REAP_EFAIL, "%s: layer %" PRIu64 ": not a list of experts",
			m->path, number);
	for (i = 0; rc == REAP_OK && (id = json_array_get(v, i)) != NULL; i++)
		rc = add_expert(m, number, id);
	return rc;
}

/* [[layer, id], ...]: a layer without a pair loses nothing. */
static int get_pairs(struct map *m, const json_t *pairs)
{
	int rc = REAP_OK;

	for (uint32_t l = 0; l < m->layers; l++)
		m->layer[l].named = 0;
	for (size_t i = 0; i < json_array_size(pairs) && rc == REAP_OK; i++) {
		const json_t *pair = json_array_get(pairs, i), *layer = json_array_get(pair, 0);

		if (json_array_size(pair) != 2 || !json_is_integer(layer) ||
			json_integer_value(layer) < 0 || json_integer_value(layer) >= m->layers)
			return reap_fail(m->e, REAP_EFAIL,
				"%s: pruned_experts: entry %zu is not a layer from 0 to %u and an"
				" expert",
				m->path, i, m->layers - 1);
		rc = add_expert(m, (uint64_t)json_integer_value(layer), json_array_get(pair, 1));
	}
	return rc;
}

static int get_layers(struct map *m, json_t *v)
{
	const char *key;
	json_t *layer;
	uint64_t number;
	int rc = REAP_OK;

	if (json_is_array(v)) {
		for (size_t i = 0; i < json_array_size(v) && rc == REAP_OK; i++)
			rc = get_layer(m, i, json_array_get(v, i));
		return rc;
	}
	if (!json_is_object(v))
		return reap_fail(m->e, REAP_EFAIL,
			"%s: no keep map: neither a list nor an object of layers", m->path);
	json_object_foreach (v, key, layer) {
		if (!layer_number(key, &number))
			return reap_fail(m->e, REAP_EFAIL,
				"%s: '%.40s' is neither a layer nor a key of a keep map"
				" (layers, kept_experts, pruned_experts)",
				m->path, key);
		if ((rc = get_layer(m, number, layer)) != REAP_OK)
			break;
	}
	return rc;
}

static int get_map(struct map *m, json_t *root)
{
	json_t *pruned = json_object_get(root, "pruned_experts");
	json_t *kept = json_object_get(root, "kept_experts");
	json_t *layers = json_object_get(root, "layers");

	if ((pruned != NULL) + (kept != NULL) + (layers != NULL) > 1)
		return reap_fail(m->e, REAP_EFAIL,
			"%s: more than one of layers, kept_experts and pruned_experts", m->path);
	m->of_pruned = pruned != NULL;
	if (json_is_array(pruned))
		return get_pairs(m, pruned);
	return get_layers(m,
		pruned != NULL           ? pruned
			: kept != NULL   ? kept
			: layers != NULL ? layers
					 : root);
}

/* ---- the plan ---- */

static uint32_t stay(const struct map *m, uint32_t layer)
{
	const uint32_t named = (uint32_t)m->layer[layer].named;

	return m->of_pruned ? m->experts - named : named;
}

static int check_numbers(const struct map *m)
{
	const uint32_t first = m->dense;

	for (uint32_t l = 0; l < first; l++)
		if (m->layer[l].named != NOT_THERE && m->layer[l].named != 0)
			return reap_fail(m->e, REAP_EFAIL, "%s: layer %u has no experts", m->path,
				l);
	for (uint32_t l = first; l < m->layers; l++) {
		if (m->layer[l].named == NOT_THERE)
			return reap_fail(m->e, REAP_EFAIL,
				"%s: layer %u is missing; the model has %u", m->path, l, m->layers);
		if (stay(m, l) != stay(m, first))
			return reap_fail(m->e, REAP_EFAIL,
				"%s: layer %u keeps %u experts, but layer %u keeps %u: loaders want"
				" the same number in each",
				m->path, l, stay(m, l), first, stay(m, first));
	}
	return stay(m, first) > 0 ? REAP_OK
				  : reap_fail(m->e, REAP_EFAIL, "%s: no expert stays", m->path);
}

static void fill_layer(const struct map *m, uint32_t layer, struct reap_plan *p)
{
	const struct layer *y = &m->layer[layer];
	uint32_t *keep = p->keep + (size_t)layer * p->keep_n;

	if (!m->of_pruned)
		memcpy(keep, y->id, p->keep_n * sizeof(*keep));
	for (uint32_t i = 0; m->of_pruned && i < m->experts; i++)
		if (!y->is_named[i])
			*keep++ = i;
}

static bool ascending(const struct reap_plan *p)
{
	for (uint32_t l = p->dense; l < p->layers; l++)
		for (uint32_t i = 1; i < p->keep_n; i++)
			if (p->keep[(size_t)l * p->keep_n + i] <
				p->keep[(size_t)l * p->keep_n + i - 1])
				return false;
	return true;
}

static int make_plan(const struct map *m, const struct reap_model_id *id, struct reap_plan *p)
{
	int rc = reap_plan_init(p, id, stay(m, m->dense), m->e);

	if (rc != REAP_OK)
		return rc;
	for (uint32_t l = m->dense; l < m->layers; l++) {
		fill_layer(m, l, p);
		p->kept_mass[l] = 1; /* of no scores */
	}
	snprintf(p->method, sizeof(p->method), "import");
	snprintf(p->order, sizeof(p->order), "%s", ascending(p) ? "ascending" : "rank");
	snprintf(p->label, sizeof(p->label), "keep%uof%u_k%.0f_import", p->keep_n, p->experts,
		nearbyint(100.0 * p->keep_n / p->experts));
	p->multiple_of = 1;
	return REAP_OK;
}

int reap_keepmap_read(struct reap_plan *p, const char *path, const struct reap_model_id *id,
	struct reap_err *e)
{
	const size_t cells = (size_t)id->layers * id->experts;
	struct map m = {.path = path,
		.layers = id->layers,
		.dense = id->dense,
		.experts = id->experts,
		.e = e};
	uint32_t *ids = reap_calloc(cells, sizeof(*ids));
	bool *named = reap_calloc(cells, sizeof(*named));
	json_t *root = NULL;
	int rc;

	*p = (struct reap_plan){0};
	m.layer = reap_calloc(m.layers, sizeof(*m.layer));
	if (ids == NULL || named == NULL || m.layer == NULL) {
		rc = reap_fail_memory(e, path);
		goto out;
	}
	for (uint32_t l = 0; l < m.layers; l++)
		m.layer[l] = (struct layer){NOT_THERE, ids + (size_t)l * m.experts,
			named + (size_t)l * m.experts};
	if ((rc = reap_json_load(path, MAX_BYTES, &root, e)) == REAP_OK &&
		(rc = get_map(&m, root)) == REAP_OK && (rc = check_numbers(&m)) == REAP_OK)
		rc = make_plan(&m, id, p);
out:
	json_decref(root);
	free(m.layer);
	free(named);
	free(ids);
	return rc;
}

void reap_keepmap_print(const struct reap_plan *p, FILE *f)
{
	for (uint32_t l = p->dense; l < p->layers; l++) {
		const uint32_t *keep = p->keep + (size_t)l * p->keep_n;

		fprintf(f, "%s\"%u\":[", l == p->dense ? "{\n" : ",\n", l);
		for (uint32_t i = 0; i < p->keep_n; i++)
			fprintf(f, "%s%u", i == 0 ? "" : ",", keep[i]);
		fputc(']', f);
	}
	fputs("\n}\n", f);
}
