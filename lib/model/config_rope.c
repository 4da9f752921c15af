/* SPDX-License-Identifier: MIT */
#include "lib/model/config_rope.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/json.h"

/* What one version of transformers makes of the keys. */
struct reading {
	const char *cannot; /* why it does not load it; NULL: it does */
	bool yarn, truncate;
	double theta;
	double rotated; /* part of each head */
	double factor, beta_fast, beta_slow, original;
};

struct source {
	const json_t *root;
	const char *file;
	double max_context, theta, rotated;
};

/* A number; *out stays when the key is absent. */
static int number(const json_t *o, const char *key, const char *name, double *out,
	struct reap_err *e)
{
	if (json_is_null(json_object_get(o, key)))
		return reap_fail(e, REAP_EFAIL, "%s: %s: null is no number", name, key);
	return reap_json_opt_f64(o, key, name, out, e);
}

/* Absent, null and 0 all mean the default. */
static int number_or(const json_t *o, const char *key, const char *name, double standard,
	double *out, struct reap_err *e)
{
	int rc;

	*out = 0;
	rc = reap_json_opt_f64(o, key, name, out, e);
	if (*out == 0)
		*out = standard;
	return rc;
}

/* Any other key (attention_factor, mscale ...) changes the computation in ways
 * that gpt_oss does not use. */
static int refuse_unknown(const json_t *r, const char *name, struct reap_err *e)
{
	static const char *const known[] = {"rope_type", "type", "factor", "beta_fast", "beta_slow",
		"original_max_position_embeddings", "truncate", "rope_theta",
		"partial_rotary_factor"};
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)r, key, v) {
		bool found = json_is_null(v);

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found = found || strcmp(key, known[i]) == 0;
		if (!found)
			return reap_fail(e, REAP_EFAIL, "%s: %s: not supported", name, key);
	}
	return REAP_OK;
}

static int read_yarn(const struct source *s, const json_t *dict, const char *name, int version,
	struct reading *r, struct reap_err *e)
{
	static const char original[] = "original_max_position_embeddings";
	const json_t *v = json_object_get(dict, original);
	int rc;

	r->yarn = true;
	/* Only an absent key means true. */
	r->truncate = json_object_get(dict, "truncate") == NULL;
	r->factor = 0;
	r->original = s->max_context;
	if ((rc = reap_json_opt_bool(dict, "truncate", name, &r->truncate, e)) != REAP_OK ||
		(rc = number_or(dict, "beta_fast", name, 32, &r->beta_fast, e)) != REAP_OK ||
		(rc = number_or(dict, "beta_slow", name, 1, &r->beta_slow, e)) != REAP_OK ||
		(rc = reap_json_opt_f64(dict, "factor", name, &r->factor, e)) != REAP_OK ||
		(rc = reap_json_opt_f64(dict, original, name, &r->original, e)) != REAP_OK)
		return rc;
	if (json_object_get(dict, "factor") == NULL)
		return reap_fail(e, REAP_EFAIL, "%s: factor: missing", name);
	if (version == 4) {
		if (r->factor == 0)
			r->cannot = "factor is null";
		return REAP_OK;
	}
	if (json_object_get(s->root, original) != NULL) {
		v = json_object_get(s->root, original);
		if ((rc = number(s->root, original, s->file, &r->original, e)) != REAP_OK)
			return rc;
	}
	if (json_is_null(v))
		r->cannot = "original_max_position_embeddings is null";
	if (r->factor == 0)
		r->factor = s->max_context / r->original;
	return REAP_OK;
}

static int read_as(const struct source *s, const json_t *dict, const char *name, int version,
	struct reading *r, struct reap_err *e)
{
	const char *type = NULL, *legacy = NULL;
	int rc;

	*r = (struct reading){.theta = s->theta, .rotated = s->rotated};
	if ((rc = number(s->root, "rope_theta", s->file, &r->theta, e)) != REAP_OK ||
		(rc = number(s->root, "partial_rotary_factor", s->file, &r->rotated, e)) != REAP_OK)
		return rc;
	if (dict == NULL)
		return REAP_OK;
	if ((rc = refuse_unknown(dict, name, e)) != REAP_OK ||
		(rc = reap_json_opt_str(dict, "type", name, &legacy, e)) != REAP_OK ||
		(rc = reap_json_opt_str(dict, "rope_type", name, &type, e)) != REAP_OK)
		return rc;
	if (version == 4) {
		type = legacy != NULL ? legacy : type;
		if (type == NULL) {
			r->cannot = "rope_type is missing";
			return REAP_OK;
		}
	} else {
		type = type != NULL ? type : legacy != NULL ? legacy : "default";
		if ((rc = number(dict, "rope_theta", name, &r->theta, e)) != REAP_OK ||
			(rc = number(dict, "partial_rotary_factor", name, &r->rotated, e)) !=
				REAP_OK)
			return rc;
	}
	if (strcmp(type, "yarn") == 0)
		return read_yarn(s, dict, name, version, r, e);
	if (strcmp(type, "default") != 0)
		return reap_fail(e, REAP_EFAIL, "%s: rope_type: \"%s\" is not supported", name,
			type);
	return REAP_OK;
}

static bool same(const struct reading *a, const struct reading *b)
{
	return a->cannot == NULL && b->cannot == NULL && a->yarn == b->yarn &&
		a->theta == b->theta && a->rotated == b->rotated &&
		(!a->yarn ||
			(a->truncate == b->truncate && a->factor == b->factor &&
				a->beta_fast == b->beta_fast && a->beta_slow == b->beta_slow &&
				a->original == b->original));
}

static void describe(const struct reading *r, char *out, size_t size)
{
	size_t n;

	if (r->cannot != NULL) {
		snprintf(out, size, "cannot load it (%s)", r->cannot);
		return;
	}
	if (r->yarn)
		n = (size_t)snprintf(out, size,
			"reads YaRN (factor %g of %g positions, betas %g and %g, truncate %s, theta %g",
			r->factor, r->original, r->beta_fast, r->beta_slow,
			r->truncate ? "true" : "false", r->theta);
	else
		n = (size_t)snprintf(out, size, "reads plain RoPE (theta %g", r->theta);
	if (n < size && r->rotated != 1)
		n += (size_t)snprintf(out + n, size - n, ", %g of each head", r->rotated);
	if (n < size)
		snprintf(out + n, size - n, ")");
}

/* What transformers has for gpt_oss when nothing is said. */
static json_t *yarn_of_gpt_oss(void)
{
	return json_pack("{s:s, s:f, s:f, s:f, s:b, s:f}", "rope_type", "yarn", "factor", 32.0,
		"beta_fast", 32.0, "beta_slow", 1.0, "truncate", 0,
		"original_max_position_embeddings", 4096.0);
}

/* Set the rotated part in whole numbers of a head, as transformers has it. */
static int take_rotated(struct reap_config *c, const struct reading *r, const struct source *s,
	bool any, struct reap_err *e)
{
	c->rotary_dim = c->head_dim;
	if (r->rotated == 1)
		return REAP_OK;
	if (!any)
		return reap_fail(e, REAP_EFAIL,
			"%s: partial_rotary_factor: %g is not supported, only 1", s->file,
			r->rotated);
	if (!(r->rotated > 0 && r->rotated < 1) || (uint32_t)(c->head_dim * r->rotated) % 2 != 0 ||
		(uint32_t)(c->head_dim * r->rotated) == 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: partial_rotary_factor: %g of %u is no even number above 0", s->file,
			r->rotated, c->head_dim);
	c->rotary_dim = (uint32_t)(c->head_dim * r->rotated);
	return REAP_OK;
}

static int take(struct reap_config *c, const struct reading *r, const struct source *s,
	const char *name, bool any_part, struct reap_err *e)
{
	double initial = r->original;
	int rc;

	c->rope_theta = r->theta;
	if (!(r->theta > 1)) /* YaRN divides by its logarithm */
		return reap_fail(e, REAP_EFAIL, "%s: rope_theta: %g is not above 1", s->file,
			r->theta);
	if ((rc = take_rotated(c, r, s, any_part, e)) != REAP_OK || !r->yarn)
		return rc;
	if (!(r->factor >= 1))
		return reap_fail(e, REAP_EFAIL, "%s: factor: %g is below 1", name, r->factor);
	if (!(r->beta_slow > 0) || !(r->beta_fast > r->beta_slow))
		return reap_fail(e, REAP_EFAIL,
			"%s: beta_fast %g and beta_slow %g: not fast > slow > 0", name,
			r->beta_fast, r->beta_slow);
	if (!(r->original >= 1))
		return reap_fail(e, REAP_EFAIL, "%s: original_max_position_embeddings: not above 0",
			name);
	if ((rc = reap_json_opt_f64(s->root, "initial_context_length", s->file, &initial, e)) !=
		REAP_OK)
		return rc;
	/* What OpenAI's own code reads. */
	if (initial != r->original)
		return reap_fail(e, REAP_EFAIL,
			"%s: initial_context_length is %g, but original_max_position_embeddings is %g",
			s->file, initial, r->original);
	c->yarn = true;
	c->yarn_truncate = r->truncate;
	c->yarn_factor = r->factor;
	c->yarn_beta_fast = r->beta_fast;
	c->yarn_beta_slow = r->beta_slow;
	c->yarn_original_context = r->original;
	return REAP_OK;
}

int reap_config_rope(struct reap_config *c, const json_t *root, const char *file,
	const struct reap_rope_standard *standard, struct reap_err *e)
{
	const struct source s = {root, file, c->max_context, standard->theta,
		standard->rotated > 0 ? standard->rotated : 1};
	const json_t *scaling = json_object_get(root, "rope_scaling");
	const json_t *parameters = json_object_get(root, "rope_parameters"), *as4, *as5;
	char name[512], four[200], five[200];
	struct reading r4, r5, other;
	json_t *unsaid = standard->yarn ? yarn_of_gpt_oss() : NULL;
	int rc;

	if (unsaid == NULL && standard->yarn)
		return reap_fail_memory(e, file);
	/* Version 4 knows rope_scaling only, where null is an answer; version 5 takes
	 * rope_parameters unless rope_scaling says something. */
	as4 = scaling == NULL ? unsaid : json_is_null(scaling) ? NULL : scaling;
	as5 = json_object_size(scaling) > 0                       ? scaling
		: parameters != NULL && !json_is_null(parameters) ? parameters
								  : unsaid;
	snprintf(name, sizeof(name), "%s: %s", file,
		as5 == parameters ? "rope_parameters" : "rope_scaling");
	if ((as4 != NULL && !json_is_object(as4)) || (as5 != NULL && !json_is_object(as5))) {
		rc = reap_fail(e, REAP_EFAIL, "%s: not an object", name);
		goto out;
	}
	if ((!standard->only5 && (rc = read_as(&s, as4, name, 4, &r4, e)) != REAP_OK) ||
		(rc = read_as(&s, as5, name, 5, &r5, e)) != REAP_OK)
		goto out;
	if (!standard->only5 && !same(&r4, &r5)) {
		describe(&r4, four, sizeof(four));
		describe(&r5, five, sizeof(five));
		rc = reap_fail(e, REAP_EFAIL,
			"%s: transformers 4 %s, transformers 5 %s: say all of it in rope_scaling, with "
			"rope_theta beside it",
			name, four, five);
		goto out;
	}
	/* Both versions look at one of the two mappings; other loaders look at the other. */
	if (as5 == scaling && json_is_object(parameters)) {
		if ((rc = read_as(&s, parameters, name, 5, &other, e)) != REAP_OK)
			goto out;
		if (!same(&r5, &other)) {
			describe(&r5, four, sizeof(four));
			describe(&other, five, sizeof(five));
			rc = reap_fail(e, REAP_EFAIL,
				"%s: who looks there %s, who looks at rope_parameters %s: remove the one "
				"that is not meant",
				name, four, five);
			goto out;
		}
	}
	rc = take(c, &r5, &s, name, standard->rotated > 0, e);
out:
	json_decref(unsaid);
	return rc;
}
