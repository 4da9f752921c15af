/* SPDX-License-Identifier: MIT */
#include "lib/report/document.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/json.h"
#include "lib/eval/verdict.h"
#include "lib/recipe/recipe.h"
#include "lib/recipe/tree.h"
#include "lib/report/parts.h"
#include "lib/stream/stream.h"

/* Put `value` (a new reference, given away) into `object`; out of memory is an error. */
static int put(json_t *object, const char *key, json_t *value, struct reap_err *e)
{
	return value != NULL && json_object_set_new(object, key, value) == 0
		? REAP_OK
		: reap_fail_memory(e, "report");
}

int reap_report_load_verdict(const char *path, json_t **out, struct reap_err *e)
{
	enum { MAX_BYTES = 1 << 26 };
	char is[REAP_SHA256_HEX];
	const char *said;
	int rc = reap_json_load(path, MAX_BYTES, out, e);

	if (rc != REAP_OK)
		return rc;
	said = json_string_value(json_object_get(*out, REAP_VERDICT_SHA256));
	if (json_array_size(json_object_get(*out, "checks")) == 0 ||
		!json_is_array(json_object_get(*out, "rows")) || said == NULL)
		rc = reap_fail(e, REAP_EFAIL, "%s: is not a verdict of reap-gate --json", path);
	else if ((rc = reap_json_digest(*out, REAP_VERDICT_SHA256, path, is, e)) == REAP_OK &&
		strcmp(said, is) != 0)
		rc = reap_fail(e, REAP_EFAIL,
			"%s: " REAP_VERDICT_SHA256
			": %.16s..., but that of what it says is %.16s...: it was edited",
			path, said, is);
	if (rc != REAP_OK) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

int reap_report_same_model(const json_t *verdict, const char *side, const char *path,
	const char *digest, struct reap_err *e)
{
	const char *its =
		json_string_value(json_object_get(json_object_get(verdict, side), "digest"));

	/* Published scores, and so plans of them, do not say which model they are of. */
	if (verdict == NULL || digest[0] == '\0' || (its != NULL && strcmp(its, digest) == 0))
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL,
		"%s: model digest %.16s..., but the verdict's %s has %.16s...", path, digest,
		strcmp(side, "left") == 0 ? "base" : "pruned model", its != NULL ? its : "none");
}

/* Check a stream, by its header. */
static int check_stream(const json_t *verdict, const char *side, const char *path,
	struct reap_err *e)
{
	struct reap_reader *r = NULL;
	int fd, rc;

	if (path == NULL)
		return REAP_OK;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return reap_fail_errno(e, "%s", path);
	if ((rc = reap_reader_open(&r, fd, path, REAP_KIND_ANY, e)) == REAP_OK)
		rc = reap_report_same_model(verdict, side, path,
			reap_reader_header(r)->model.digest, e);
	reap_reader_close(r);
	close(fd);
	return rc;
}

/* All inputs must be of the two models of the verdict: its words must not stand beside a picture
 * of another model. */
static int check_models(const struct reap_report_inputs *in, const json_t *verdict,
	struct reap_err *e)
{
	int rc;

	if ((rc = check_stream(verdict, "left", in->base, e)) != REAP_OK ||
		(rc = check_stream(verdict, "right", in->pruned, e)) != REAP_OK)
		return rc;
	return check_stream(verdict, "left", in->plan, e);
}

/* NULL when out of memory, here or below. */
static json_t *json_of(const struct reap_node *n)
{
	json_t *v;
	bool ok;

	switch (n->kind) {
	case REAP_NODE_NULL:
		return json_null();
	case REAP_NODE_BOOL:
		return json_boolean(n->boolean);
	case REAP_NODE_INT:
		return json_integer(n->integer);
	case REAP_NODE_FLOAT:
		return json_real(n->real);
	case REAP_NODE_STR:
		return json_string(n->str);
	case REAP_NODE_LIST:
	case REAP_NODE_MAP:
		break;
	}
	v = n->kind == REAP_NODE_LIST ? json_array() : json_object();
	ok = v != NULL;
	for (size_t i = 0; i < n->count && ok; i++)
		ok = (n->kind == REAP_NODE_LIST ? json_array_append_new(v, json_of(n->child[i]))
						: json_object_set_new(v, n->key[i],
							  json_of(n->child[i]))) == 0;
	if (!ok) {
		json_decref(v);
		v = NULL;
	}
	return v;
}

/* The recipe, with its identity. */
static int put_recipe(json_t *doc, const char *path, struct reap_err *e)
{
	struct reap_node *root = NULL;
	char digest[REAP_SHA256_HEX];
	int rc;

	if ((rc = reap_recipe_load(path, NULL, &root, e)) == REAP_OK &&
		(rc = reap_recipe_check(root, path, e)) == REAP_OK &&
		(rc = reap_recipe_digest(root, digest, e)) == REAP_OK &&
		(rc = put(doc, "recipe", json_of(root), e)) == REAP_OK)
		rc = put(doc, "recipe_digest", json_string(digest), e);
	reap_node_free(root);
	return rc;
}

/* What the pruned model is called: by its recipe, else by its folder. */
static json_t *subject_of(const json_t *doc, const json_t *verdict)
{
	static const char *const keys[] = {"pruned_variant_name", "pruned_model_label"};
	const json_t *model = json_object_get(json_object_get(doc, "recipe"), "model");

	for (int i = 0; i < 2; i++)
		if (json_is_string(json_object_get(model, keys[i])))
			return json_incref(json_object_get(model, keys[i]));
	return json_incref(json_object_get(json_object_get(verdict, "right"), "model"));
}

json_t *reap_report_row(const json_t *verdict, const char *pack, json_int_t seq_len)
{
	json_t *row;
	size_t i;

	json_array_foreach (json_object_get(verdict, "rows"), i, row) {
		const char *its = json_string_value(json_object_get(row, "pack"));

		if (its != NULL && strcmp(its, pack) == 0 &&
			json_integer_value(json_object_get(row, "seq_len")) == seq_len)
			return row;
	}
	return NULL;
}

static int put_parts(json_t *doc, const struct reap_report_inputs *in, json_t *verdict,
	struct reap_err *e)
{
	const json_t *check = json_array_get(json_object_get(verdict, "checks"), 0);
	const char *pack = json_string_value(json_object_get(check, "pack"));
	json_int_t seq_len = json_integer_value(json_object_get(check, "seq_len"));
	json_t *row = pack != NULL ? reap_report_row(verdict, pack, seq_len) : NULL, *part = NULL;
	int rc;

	if (row == NULL || seq_len < 0 || seq_len > UINT32_MAX)
		return reap_fail(e, REAP_EFAIL, "%s: checks: the row that they name is missing",
			in->verdict);
	if ((rc = put(doc, "row", json_incref(row), e)) != REAP_OK ||
		(rc = reap_report_maps(in, row, &part, e)) != REAP_OK ||
		(rc = put(doc, "maps", part, e)) != REAP_OK)
		return rc;
	if (in->plan != NULL && in->scores != NULL) {
		if ((rc = reap_report_kept(in, verdict, row, &part, e)) != REAP_OK ||
			(rc = put(doc, "kept", part, e)) != REAP_OK)
			return rc;
	}
	return REAP_OK;
}

int reap_report_make(const struct reap_report_inputs *in, json_t **out, struct reap_err *e)
{
	json_t *doc = json_object(), *verdict = NULL, *gained = NULL, *warnings = NULL;
	int rc = REAP_OK;

	if (in->verdict != NULL)
		rc = reap_report_load_verdict(in->verdict, &verdict, e);
	if (rc == REAP_OK && verdict != NULL)
		rc = check_models(in, verdict, e);
	if (rc == REAP_OK && in->recipe != NULL)
		rc = put_recipe(doc, in->recipe, e);
	if (rc == REAP_OK && (in->source != NULL || in->model != NULL) &&
		(rc = reap_report_gained(in->source, in->model, verdict, &gained, e)) == REAP_OK)
		rc = put(doc, "gained", gained, e);
	if (rc == REAP_OK && (verdict != NULL || in->calibration != NULL || in->tokens != NULL) &&
		(rc = reap_report_warnings(in, verdict, &warnings, e)) == REAP_OK)
		rc = put(doc, "warnings", warnings, e);
	if (rc == REAP_OK && verdict != NULL &&
		(rc = put(doc, "subject", subject_of(doc, verdict), e)) == REAP_OK &&
		(rc = put(doc, "verdict", json_incref(verdict), e)) == REAP_OK)
		rc = put_parts(doc, in, verdict, e);
	json_decref(verdict);
	if (rc != REAP_OK) {
		json_decref(doc);
		return rc;
	}
	*out = doc;
	return REAP_OK;
}
