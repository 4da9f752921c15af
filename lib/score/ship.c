/* SPDX-License-Identifier: MIT */
#include "lib/score/ship.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/io.h"
#include "lib/recipe/recipe.h"
#include "lib/score/load.h"
#include "lib/score/scores_yaml.h"
#include "lib/score/select.h"

/* ---- the recipe ---- */

static int differs(const struct reap_node *n, const char *key, const char *what, uint32_t is,
	struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL, "%s:%u: %s: %" PRId64 ", but %s %u", n->file, n->line, key,
		n->integer, what, is);
}

/* The number of experts that the recipe keeps: as it says, or as reap-cut makes it of a share. */
static int check_kept(const struct reap_node *root, const struct reap_plan *plan,
	struct reap_err *e)
{
	static const char share[] = "model.keep_frac_requested";
	const struct reap_node *n = reap_node_at(root, "model.keep_n");
	const struct reap_node *round = reap_node_at(root, "selection_constraints.round");
	enum reap_round r = REAP_CEIL;
	uint32_t kept;

	if (n != NULL && n->kind == REAP_NODE_INT)
		return n->integer == plan->keep_n
			? REAP_OK
			: differs(n, "model.keep_n", "the plan keeps", plan->keep_n, e);
	if (round != NULL && strcmp(round->str, "ceil") != 0)
		r = strcmp(round->str, "floor") == 0 ? REAP_FLOOR : REAP_NEAREST;
	n = reap_node_at(root, share);
	kept = reap_select_keep_n(n->real, plan->experts, r, plan->multiple_of);
	if (kept != plan->keep_n)
		return reap_fail(e, REAP_EFAIL,
			"%s:%u: %s: %g, which is %u of %u experts, but the plan keeps %u", n->file,
			n->line, share, n->real, kept, plan->experts, plan->keep_n);
	return REAP_OK;
}

static int check_recipe(const struct reap_node *root, const struct reap_model *m,
	const struct reap_plan *plan, struct reap_err *e)
{
	const struct reap_node *kind = reap_node_at(root, "kind");
	const struct reap_node *n = reap_node_at(root, "model.num_experts");

	if (strcmp(kind->str, "reap_recipe") != 0)
		return reap_node_fail(kind, "kind", e, "reap_recipe is wanted, not ", kind->str);
	if (n != NULL && n->integer != m->cfg.experts)
		return differs(n, "model.num_experts", "the model has", m->cfg.experts, e);
	return check_kept(root, plan, e);
}

int reap_ship_recipe(struct reap_prune_text *out, const char *path, const struct reap_model *m,
	const struct reap_plan *plan, struct reap_err *e)
{
	struct reap_node *root = NULL;
	int rc;

	if (path == NULL)
		return REAP_OK;
	if ((rc = reap_read_file(path, REAP_YAML_MAX_BYTES, &out->text, &out->len, e)) == REAP_OK &&
		(rc = reap_recipe_parse(out->text, out->len, path, NULL, &root, e)) == REAP_OK &&
		(rc = reap_recipe_check(root, path, e)) == REAP_OK)
		rc = check_recipe(root, m, plan, e);
	reap_node_free(root);
	return rc;
}

/* ---- the scores ---- */

static int check_scores(const struct reap_scores *s, const struct reap_header *of, const char *path,
	const struct reap_model *m, const struct reap_plan *plan, const char *plan_name,
	struct reap_err *e)
{
	char sha256[REAP_SHA256_HEX];
	int rc;

	if ((rc = reap_model_id_match(path, &of->model, m->dir, &m->id, e)) != REAP_OK ||
		(rc = reap_scores_digest(s, of, sha256, e)) != REAP_OK)
		return rc;
	if (strcmp(sha256, plan->scores_sha256) != 0)
		return reap_fail(e, REAP_EFAIL,
			"%s: scores %.16s (%s), but the plan was cut from %.16s (%s)", path, sha256,
			s->method, plan->scores_sha256[0] != '\0' ? plan->scores_sha256 : "none",
			plan->method);
	return reap_select_same(s, path, plan, plan_name, e);
}

int reap_ship_scores(struct reap_prune_text *out, const char *path, const struct reap_model *m,
	const struct reap_plan *plan, const char *plan_name, struct reap_err *e)
{
	struct reap_header h = {0};
	struct reap_scores s = {0};
	int rc;

	if (path == NULL)
		return REAP_OK;
	if ((rc = reap_read_file(path, REAP_YAML_MAX_BYTES, &out->text, &out->len, e)) != REAP_OK)
		return rc;
	if (out->len > 0 && reap_load_begins_stream((uint8_t)out->text[0]))
		return reap_fail(e, REAP_EFAIL,
			"%s: a record stream, but what ships is reap-scores.yaml (reap-rank --yaml)",
			path);
	if ((rc = reap_scores_parse_yaml(out->text, out->len, path, &h, &s, e)) == REAP_OK)
		rc = check_scores(&s, &h, path, m, plan, plan_name, e);
	reap_header_free(&h);
	reap_scores_free(&s);
	return rc;
}
