/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/io.h"
#include "lib/model/model.h"
#include "lib/report/parts.h"

/* Positions of the cache of keys and values that counts as memory. */
enum { CONTEXT = 8192 };

struct size {
	bool known, mxfp4;
	const char *key; /* what config.json calls the number of experts */
	uint32_t experts, top_k, layers, positions;
	double parameters, active, bytes, memory;
};

/* Numbers of all weights, and of those that one token uses. */
static void count_parameters(const struct reap_config *c, struct size *s)
{
	for (size_t i = 0; i < c->arch->specs; i++) {
		const struct reap_spec *r = &c->arch->spec[i];
		const double n = (double)reap_spec_numbers(r, c) * reap_spec_times(r, c);
		const bool chosen = reap_spec_of_experts(r) && !reap_spec_of_router(r);

		if (!reap_spec_holds(r, c) || (c->tied && r->role == REAP_ROLE_LM_HEAD))
			continue;
		s->parameters += n;
		s->active += chosen ? n / c->experts * c->top_k : n;
	}
}

/* Keys and values of one sequence, in BF16; a sliding layer keeps its window. */
static double cache_bytes(const struct reap_config *c)
{
	double bytes = 0;

	for (uint32_t l = 0; l < c->layers; l++) {
		double positions = c->sliding[l] && c->window < CONTEXT ? c->window : CONTEXT;

		bytes += positions * c->kv_heads * c->head_dim * 2 * 2;
	}
	return bytes;
}

static int weights_bytes(const char *dir, double *bytes, struct reap_err *e)
{
	static const char suffix[] = ".safetensors";
	char **name;
	size_t files;
	int rc = reap_list_dir(dir, &name, &files, e);

	*bytes = 0;
	if (rc != REAP_OK)
		return rc;
	for (size_t i = 0; i < files && rc == REAP_OK; i++) {
		const size_t n = strlen(name[i]), m = sizeof(suffix) - 1;
		struct stat st;
		char *path;

		if (n <= m || strcmp(name[i] + n - m, suffix) != 0)
			continue;
		path = reap_path_join(dir, name[i]);
		if (path == NULL)
			rc = reap_fail_memory(e, dir);
		else if (stat(path, &st) != 0)
			rc = reap_fail_errno(e, "%s", path);
		else
			*bytes += (double)st.st_size;
		free(path);
	}
	reap_list_free(name, files);
	return rc;
}

static int measure(const char *dir, const json_t *verdict, const char *side, struct size *s,
	struct reap_err *e)
{
	struct reap_model *m;
	int rc;

	*s = (struct size){0};
	if (dir == NULL)
		return REAP_OK;
	if ((rc = reap_model_open(&m, dir, e)) != REAP_OK)
		return rc;
	if ((rc = reap_report_same_model(verdict, side, dir, m->id.digest, e)) == REAP_OK &&
		(rc = weights_bytes(dir, &s->bytes, e)) == REAP_OK) {
		s->known = true;
		s->mxfp4 = m->cfg.format == &reap_format_mxfp4;
		s->key = m->cfg.arch->count[0].key;
		s->experts = m->cfg.experts;
		s->top_k = m->cfg.top_k;
		s->layers = m->cfg.layers;
		s->positions = m->cfg.max_context;
		count_parameters(&m->cfg, s);
		s->memory = s->bytes + cache_bytes(&m->cfg);
	}
	reap_model_close(m);
	return rc;
}

static json_t *pair(const struct size *a, const struct size *b, double before, double after)
{
	return json_pack("[o,o]", a->known ? json_real(before) : json_null(),
		b->known ? json_real(after) : json_null());
}

static json_t *counts(const struct size *a, const struct size *b, uint32_t before, uint32_t after)
{
	return json_pack("[o,o]", a->known ? json_integer(before) : json_null(),
		b->known ? json_integer(after) : json_null());
}

int reap_report_gained(const char *source, const char *model, const json_t *verdict, json_t **out,
	struct reap_err *e)
{
	struct size a, b;
	int rc;

	if ((rc = measure(source, verdict, "left", &a, e)) != REAP_OK ||
		(rc = measure(model, verdict, "right", &b, e)) != REAP_OK)
		return rc;
	*out = json_pack("{s:s?,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:i,s:b}", "key",
		b.known ? b.key : a.key, "experts", counts(&a, &b, a.experts, b.experts), "top_k",
		counts(&a, &b, a.top_k, b.top_k), "layers", counts(&a, &b, a.layers, b.layers),
		"positions", counts(&a, &b, a.positions, b.positions), "parameters",
		pair(&a, &b, a.parameters, b.parameters), "active",
		pair(&a, &b, a.active, b.active), "bytes", pair(&a, &b, a.bytes, b.bytes), "memory",
		pair(&a, &b, a.memory, b.memory), "context", CONTEXT, "mxfp4",
		(int)(a.mxfp4 || b.mxfp4));
	return *out != NULL ? REAP_OK : reap_fail_memory(e, "report");
}
