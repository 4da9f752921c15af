/* SPDX-License-Identifier: MIT */
#include "lib/eval/gates.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/embedded.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/eval/agree.h"
#include "lib/eval/js2d.h"

/* ---- the file ---- */

static int only_keys(const json_t *obj, const char *path, const char *const *keys,
	struct reap_err *e)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)obj, key, value) {
		const char *const *k = keys;

		while (*k != NULL && strcmp(*k, key) != 0)
			k++;
		if (*k == NULL)
			return reap_fail(e, REAP_EFAIL, "%s: %s: unknown key", path, key);
	}
	return REAP_OK;
}

static int copy_str(const json_t *obj, const char *key, const char *path, char *out, size_t size,
	struct reap_err *e)
{
	const char *s;
	int rc = reap_json_str(obj, key, path, &s, e);

	if (rc != REAP_OK)
		return rc;
	if (strlen(s) >= size)
		return reap_fail(e, REAP_EFAIL, "%s: %s: longer than %zu bytes", path, key,
			size - 1);
	strcpy(out, s);
	return REAP_OK;
}

/* The original writes the lengths as strings; numbers are welcome too. */
static int load_seq_lens(struct reap_gates *g, const json_t *root, struct reap_err *e)
{
	const json_t *list = json_object_get(root, "primary_seq_lens"), *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0 ||
		json_array_size(list) > REAP_GATES_SEQ_LENS)
		return reap_fail(e, REAP_EFAIL, "%s: primary_seq_lens: not a list of 1..%d lengths",
			g->path, REAP_GATES_SEQ_LENS);
	json_array_foreach (list, i, v) {
		unsigned long n = 0;
		char *end = NULL;

		if (json_is_integer(v) && json_integer_value(v) > 0)
			n = (unsigned long)json_integer_value(v);
		else if (json_is_string(v))
			n = strtoul(json_string_value(v), &end, 10);
		if (n == 0 || n > REAP_MAX_SEQ_LEN || (end != NULL && *end != '\0'))
			return reap_fail(e, REAP_EFAIL,
				"%s: primary_seq_lens: element %zu is not a length within 1..%d",
				g->path, i, REAP_MAX_SEQ_LEN);
		g->seq_lens[g->seq_len_count++] = (uint32_t)n;
	}
	return REAP_OK;
}

static int load_thresholds(struct reap_gates *g, const json_t *root, struct reap_err *e)
{
	static const char *const keys[] = {"max_rel_delta_ppl", "max_abs_delta_ppl",
		"max_abs_delta_cc_rate", "max_abs_delta_mean_prob", "max_js2d", NULL};
	double *const to[] = {&g->max_rel_delta_ppl, &g->max_abs_delta_ppl,
		&g->max_abs_delta_cc_rate, &g->max_abs_delta_mean_prob, &g->max_js2d};
	const json_t *t = json_object_get(root, "thresholds");
	int rc;

	if (!json_is_object(t))
		return reap_fail(e, REAP_EFAIL, "%s: thresholds: missing", g->path);
	if ((rc = only_keys(t, g->path, keys, e)) != REAP_OK)
		return rc;
	for (size_t i = 0; keys[i] != NULL; i++) {
		*to[i] = NAN;
		if ((rc = reap_json_opt_f64(t, keys[i], g->path, to[i], e)) != REAP_OK)
			return rc;
		/* Where one is missing, the original takes 0, which nothing passes. */
		if (isnan(*to[i]))
			return reap_fail(e, REAP_EFAIL, "%s: thresholds.%s: missing", g->path,
				keys[i]);
		if (*to[i] < 0)
			return reap_fail(e, REAP_EFAIL, "%s: thresholds.%s: %g is negative",
				g->path, keys[i], *to[i]);
	}
	return REAP_OK;
}

static int load(struct reap_gates *g, const json_t *root, struct reap_err *e)
{
	static const char *const keys[] = {"version", "name", "primary_pack", "primary_seq_lens",
		"gate_rule", "thresholds", "notes", NULL};
	const char *rule = "min";
	uint64_t version;
	int rc;

	if (!json_is_object(root))
		return reap_fail(e, REAP_EFAIL, "%s: not a JSON object", g->path);
	if ((rc = only_keys(root, g->path, keys, e)) != REAP_OK ||
		(rc = reap_json_u64(root, "version", g->path, 1, 1, &version, e)) != REAP_OK ||
		(rc = copy_str(root, "name", g->path, g->name, sizeof(g->name), e)) != REAP_OK ||
		(rc = copy_str(root, "primary_pack", g->path, g->primary_pack,
			 sizeof(g->primary_pack), e)) != REAP_OK ||
		(rc = load_seq_lens(g, root, e)) != REAP_OK ||
		(rc = load_thresholds(g, root, e)) != REAP_OK ||
		(rc = reap_json_opt_str(root, "gate_rule", g->path, &rule, e)) != REAP_OK)
		return rc;
	g->rule_max = strcmp(rule, "max") == 0;
	if (!g->rule_max && strcmp(rule, "min") != 0)
		return reap_fail(e, REAP_EFAIL, "%s: gate_rule: '%s' is neither min nor max",
			g->path, rule);
	return REAP_OK;
}

int reap_gates_load(struct reap_gates *g, const char *path, struct reap_err *e)
{
	enum { MAX_BYTES = 1 << 20 };
	json_t *root;
	int rc;

	memset(g, 0, sizeof(*g));
	if (path != NULL && strlen(path) >= sizeof(g->path))
		return reap_fail(e, REAP_EFAIL, "%s: name too long", path);
	strcpy(g->path, path != NULL ? path : "near_lossless_gates.json");
	rc = path != NULL ? reap_json_load(path, MAX_BYTES, &root, e)
			  : reap_json_parse(reap_near_lossless_gates_json,
				    strlen(reap_near_lossless_gates_json), g->path, &root, e);
	if (rc != REAP_OK)
		return rc;
	rc = load(g, root, e);
	json_decref(root);
	return rc;
}

/* The limit of |d_ppl| by the rule, for a base perplexity. */
static double ppl_limit(const struct reap_gates *g, double base_ppl)
{
	double rel = g->max_rel_delta_ppl * fmax(1e-9, base_ppl);

	return g->rule_max ? fmax(g->max_abs_delta_ppl, rel) : fmin(g->max_abs_delta_ppl, rel);
}

/* ---- the verdict ---- */

static const char *unit_name(const struct reap_pair_row *r)
{
	return r->units_are_rows ? "documents" : "blocks";
}

const char *reap_outcome_name(enum reap_outcome_code c)
{
	return c == REAP_PASS ? "PASS" : c == REAP_FAIL ? "FAIL" : "UNDECIDED";
}

const char *reap_check_name(int check)
{
	static const char *const names[REAP_CHECKS] = {"dPPL", "dCC", "dmean_p", "JS2D"};

	return names[check];
}

static void add_note(struct reap_verdict *v, const char *fmt, ...) REAP_PRINTF(2, 3);
static void add_note(struct reap_verdict *v, const char *fmt, ...)
{
	va_list ap;

	if (v->notes == REAP_GATES_NOTES)
		return;
	va_start(ap, fmt);
	vsnprintf(v->note[v->notes++], sizeof(v->note[0]), fmt, ap);
	va_end(ap);
}

static bool is_last(uint32_t look)
{
	return look == 0 || look == REAP_LOOKS;
}

int reap_pass_units(uint32_t look)
{
	return is_last(look) ? REAP_PASS_UNITS : REAP_PASS_UNITS_EARLY;
}

/* ---- how many more tokens ---- */

/* What more units would do to a figure: the value moves, and the interval shrinks. */
struct outlook {
	struct reap_interval ci; /* with neighbours as alike as they may be */
	double value, limit;
	/* Of JS2D, else 0: how much of the value is noise by the best estimate, and at most. */
	double noise, floor;
	/* Of dCC, else 0 and NULL. */
	double rare; /* no end of the interval is nearer than that; falls with the tokens */
	const struct reap_edge_move *moves;
};

/* The chance that the value of `times` as many units comes to lie where an interval that ends at
 * the distances `up` and `down` holds `limit`.  By what is known, the truth is the value give or
 * take its standard error.  The units that there are stay among the new ones, so the fewer are
 * added, the less the value moves. */
static double chance_to_hold(const struct outlook *o, double limit, double up, double down,
	double times)
{
	double df = fmax(o->ci.independent - 1, 1), gone = 1 - pow(times, -REAP_JS2D_POWER);
	double middle = o->value - o->noise * gone;
	/* The noise is known to a fifth or so. */
	double sd = hypot(o->ci.se * sqrt(1 - 1 / times), o->noise / 5 * gone);

	if (!(sd > 0))
		return middle > limit - up && middle < limit + down;
	return reap_student_cdf((limit + down - middle) / sd, df) -
		reap_student_cdf((limit - up - middle) / sd, df);
}

/* How far the interval of `times` as many units goes to this side. */
static double reach(const struct outlook *o, int side, double times)
{
	double r = reap_interval_reach(&o->ci, side, times);

	if (o->moves != NULL)
		r += reap_edges_reach(o->moves, side, times);
	return fmax(r, o->rare / times);
}

/* Are nine cases in ten decided with `times` as many units? */
static bool decides(const struct outlook *o, double times)
{
	double up = reach(o, 1, times), down = reach(o, -1, times);
	double floor = o->floor * pow(times, -REAP_JS2D_POWER);
	double held = chance_to_hold(o, o->limit, up, down + floor, times);

	if (o->floor == 0) /* a difference has a limit below zero, too */
		held += chance_to_hold(o, -o->limit, up, down, times);
	return held <= 0.1;
}

/* Ask for the tokens that decide.  Two digits are more than the estimate is worth; it is
 * rounded up. */
static void ask(struct reap_check *c, const struct reap_pair_row *r, uint32_t look,
	const struct reap_interval *ci, struct outlook *o)
{
	const double most = 1e9;
	double times = 1, more;

	o->ci = reap_interval_doubted(ci);
	o->value = c->value;
	o->limit = c->limit;
	/* The sizes of further units may turn out less even than those of these, by as much
	 * again. */
	if (o->ci.units > 0)
		times = fmax(1,
			fmax(REAP_PASS_UNITS / o->ci.sized * (o->ci.units / o->ci.sized),
				REAP_PASS_INDEPENDENT / o->ci.independent));
	if (!is_last(look) && o->ci.units > 0) /* the last look may pass with fewer */
		times = fmax(times,
			fmin(reap_pass_units(look) / o->ci.sized,
				(double)r->left.blocks / (double)r->left.scored_blocks));
	if (o->ci.se > 0 && !decides(o, times)) {
		double lo = times;

		for (times *= 2; times < most && !decides(o, times); times *= 2)
			lo = times;
		if (!(times < most))
			return;
		for (int i = 0; i < 20; i++) {
			double mid = 0.5 * (lo + times);

			*(decides(o, mid) ? &times : &lo) = mid;
		}
	} else if (!(o->ci.se > 0) && fabs(c->value) == c->limit) {
		return;
	}
	more = fmax((double)r->tokens * (times - 1), 1);
	for (double unit = 1;; unit *= 10)
		if (more / unit <= 100) {
			c->more_tokens = (uint64_t)(ceil(more / unit) * unit);
			break;
		}
	c->more_blocks = (uint64_t)ceil(
		(double)c->more_tokens * (double)r->left.scored_blocks / (double)r->tokens);
}

/* ---- one row ---- */

/* Documents of about one length are worth as many units as there are documents: the few tokens by
 * which they differ must not cost a whole unit, hence the rounding. */
static bool enough_of_one_size(double sized, uint32_t look)
{
	return round(sized) >= reap_pass_units(look);
}

/* When a tenth of all units do something, 40 units show none of it in one case of 68; when one in
 * 50 does, 200 show none of it in one case of 57, which the last look would have seen.  And it
 * takes many units to tell whether neighbours are alike.  Models that are equal in all tokens
 * that there are need no interval; at a look before the last, the others may still differ. */
static bool enough_to_pass(const struct reap_pair_row *r, uint32_t look,
	const struct reap_interval *ci)
{
	return (r->identical && is_last(look)) ||
		(enough_of_one_size(ci->sized, look) && ci->independent >= REAP_PASS_INDEPENDENT);
}

static void judge_difference(struct reap_check *c, const struct reap_interval *ci,
	const struct reap_pair_row *r, uint32_t look, struct outlook o)
{
	c->has_interval = ci->known;
	c->lo = ci->lo;
	c->hi = ci->hi;
	c->code = REAP_UNDECIDED;
	if (ci->known && ci->lo >= -c->limit && ci->hi <= c->limit && enough_to_pass(r, look, ci))
		c->code = REAP_PASS;
	else if (ci->known && (ci->lo > c->limit || ci->hi < -c->limit))
		c->code = REAP_FAIL;
	else
		ask(c, r, look, ci, &o);
}

/* The value is too high by some of its noise, and the larger floor is more than that.  So the
 * interval begins below the value less the floor and ends above the value. */
static void judge_js2d(struct reap_check *c, const struct reap_pair_row *r, uint32_t look)
{
	const struct reap_interval *ci = &r->js2d_ci;
	double floor = fmax(r->floor_left, r->floor_right);
	struct outlook o = {.noise = r->js2d_noise, .floor = floor};

	c->has_interval = ci->known;
	c->lo = fmax(0, ci->lo - floor);
	c->hi = ci->hi;
	c->code = REAP_UNDECIDED;
	if (ci->known && c->hi <= c->limit && enough_to_pass(r, look, ci))
		c->code = REAP_PASS;
	else if (ci->known && c->lo > c->limit)
		c->code = REAP_FAIL;
	else
		ask(c, r, look, ci, &o);
}

/* `look` is that of the pair; it may have nothing of a row yet. */
static void judge_row(const struct reap_gates *g, const struct reap_pair_row *r, uint32_t look,
	struct reap_judged *j)
{
	const double value[REAP_CHECKS] = {r->d_ppl, r->d_cc, r->d_mean_p, r->js2d};
	const double limit[REAP_CHECKS] = {ppl_limit(g, r->left.ppl), g->max_abs_delta_cc_rate,
		g->max_abs_delta_mean_prob, g->max_js2d};
	const struct reap_interval *ci[] = {&r->d_ppl_ci, &r->d_cc_ci, &r->d_mean_p_ci};

	for (int i = 0; i < REAP_CHECKS; i++) {
		struct reap_check *c = &j->check[i];

		c->value = value[i];
		c->limit = limit[i];
		c->value_ok = fabs(value[i]) <= limit[i];
		if (!r->paired)
			c->code = look != 0 ? REAP_UNDECIDED : c->value_ok ? REAP_PASS : REAP_FAIL;
		else if (i == REAP_CHECK_JS2D)
			judge_js2d(c, r, look);
		else
			judge_difference(c, ci[i], r, look,
				i == REAP_CHECK_CC
					? (struct outlook){.moves = r->cc_moves,
						  .rare = 1.01 * reap_pair_rare(ci[i]->z) /
							  (double)r->tokens}
					: (struct outlook){.rare = 0});
	}
}

static bool wants_seq_len(const struct reap_gates *g, uint32_t seq_len)
{
	for (uint32_t i = 0; i < g->seq_len_count; i++)
		if (g->seq_lens[i] == seq_len)
			return true;
	return false;
}

enum choice { PRIMARY, PRIMARY_PACK, ALL };

static bool chosen(const struct reap_gates *g, const struct reap_pair_row *r, enum choice c)
{
	return c == ALL ||
		(strcmp(r->left.pack, g->primary_pack) == 0 &&
			(c == PRIMARY_PACK || wants_seq_len(g, r->left.seq_len)));
}

static size_t count_chosen(const struct reap_gates *g, const struct reap_pair *p, enum choice c)
{
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++)
		n += chosen(g, &p->rows[i], c);
	return n;
}

static void note_choice(const struct reap_gates *g, const struct reap_pair *p, enum choice c,
	struct reap_verdict *v)
{
	char lens[128] = "";
	size_t at = 0;

	for (uint32_t i = 0; i < g->seq_len_count && at + 12 < sizeof(lens); i++) {
		bool there = false;

		for (size_t r = 0; r < p->count; r++)
			there |= strcmp(p->rows[r].left.pack, g->primary_pack) == 0 &&
				p->rows[r].left.seq_len == g->seq_lens[i];
		if (!there)
			at += (size_t)snprintf(lens + at, sizeof(lens) - at, "%s%u",
				at > 0 ? ", " : "", g->seq_lens[i]);
	}
	if (c == ALL)
		add_note(v, "the gate is for %s, which was not evaluated: judged on every pack",
			g->primary_pack);
	else if (c == PRIMARY_PACK)
		add_note(v,
			"the gate is for %s at %s, which was not evaluated: judged at the lengths "
			"that were evaluated",
			g->primary_pack, lens);
	else if (at > 0)
		add_note(v, "%s at %s was not evaluated: judged without it", g->primary_pack, lens);
}

/* Say what the intervals of a row rest on, where that is too little. */
static void note_units(const struct reap_pair_row *r, uint32_t look, struct reap_verdict *v)
{
	const struct reap_interval *ci[] = {&r->d_ppl_ci, &r->d_cc_ci, &r->d_mean_p_ci,
		&r->js2d_ci};
	double sized = INFINITY, independent = INFINITY;
	char worth[64] = "";

	if (!r->paired || (r->identical && is_last(look)))
		return;
	for (size_t i = 0; i < sizeof(ci) / sizeof(ci[0]); i++) {
		sized = fmin(sized, ci[i]->sized);
		independent = fmin(independent, ci[i]->independent);
	}
	if (enough_of_one_size(sized, look) && independent < REAP_PASS_INDEPENDENT)
		add_note(v,
			"%s %u: %" PRIu64
			" %s whose neighbours are alike are worth %.0f independent ones, too few "
			"to pass, which takes %d",
			r->left.pack, r->left.seq_len, r->units, unit_name(r), floor(independent),
			REAP_PASS_INDEPENDENT);
	if (enough_of_one_size(sized, look))
		return;
	if (round(sized) < (double)r->units)
		snprintf(worth, sizeof(worth), ", worth %.0f of one size,", round(sized));
	add_note(v, "%s %u: %" PRIu64 " %s%s are too few to pass%s, which takes %d%s", r->left.pack,
		r->left.seq_len, r->units, unit_name(r), worth,
		is_last(look) ? "" : " at this look", reap_pass_units(look),
		r->units < REAP_INTERVAL_MIN_UNITS ? ", and too few for an interval" : "");
}

static void note_pair(const struct reap_pair *p, struct reap_verdict *v)
{
	const struct reap_pair_row *dropped = NULL, *blind = NULL;
	char calib[150] = "", all[150] = "";
	const char *last = "";

	for (size_t i = 0; i < p->count; i++) {
		const struct reap_pair_row *r = &p->rows[i];

		if (r->left.dropped_tokens != r->right.dropped_tokens)
			dropped = r;
		/* A pack has a row for each length. */
		if (strcmp(r->left.split, "eval") != 0 && strcmp(r->left.pack, last) != 0)
			reap_list_name(strcmp(r->left.split, "calib") == 0 ? calib : all,
				sizeof(all), r->left.pack);
		last = r->left.pack;
		if (r->paired && !r->identical && !r->units_are_rows && blind == NULL)
			blind = r;
	}
	if (*calib != '\0')
		add_note(v, "NOT HELD OUT: %s: the calibration split, which the pruning has seen",
			calib);
	if (*all != '\0')
		add_note(v,
			"not known to be held out: %s: made from all rows of their files (see "
			"reap-tokenize --holdout), and calibration must not have used any of them",
			all);
	if (dropped != NULL)
		add_note(v,
			"%s %u: the models dropped different tokens as outside the p range "
			"(%" PRIu64 " and %" PRIu64 "), so perplexities are over different tokens",
			dropped->left.pack, dropped->left.seq_len, dropped->left.dropped_tokens,
			dropped->right.dropped_tokens);
	if (blind != NULL)
		add_note(v,
			"%s %u: the evals do not say which documents its blocks were made of, so "
			"blocks are the units; where they share documents, intervals may be too "
			"narrow",
			blind->left.pack, blind->left.seq_len);
	for (size_t i = 0; i < v->count; i++)
		note_units(&p->rows[v->judged[i].row], p->look, v);
	if (reap_backend_is_mixed(p->left_meta.backend) ||
		reap_backend_is_mixed(p->right_meta.backend))
		add_note(v,
			"parts of an eval were made with different arithmetic: the differences "
			"contain that too");
	else if (strcmp(p->left_meta.backend, p->right_meta.backend) != 0)
		add_note(v,
			"the models were run with different arithmetic (%s and %s): the "
			"differences contain that too",
			p->left_meta.backend, p->right_meta.backend);
	if (reap_backend_is_coarse(p->left_meta.backend))
		add_note(v,
			"both models were run with inputs of experts in 8 bits (REAP_GEMM=i8), "
			"coarser than bf16: the differences contain that too");
	if (!v->intervals)
		add_note(v,
			"no intervals: an eval holds no tokens (reap-ppl --no-tokens), so the "
			"verdict is by the values alone");
}

static void settle(struct reap_verdict *v)
{
	v->code = REAP_PASS;
	v->original_pass = true;
	for (size_t i = 0; i < v->count; i++)
		for (int c = 0; c < REAP_CHECKS; c++) {
			const struct reap_check *k = &v->judged[i].check[c];

			v->original_pass &= k->value_ok;
			if (k->code == REAP_FAIL ||
				(k->code == REAP_UNDECIDED && v->code == REAP_PASS))
				v->code = k->code;
		}
}

int reap_gates_judge(const struct reap_gates *g, const struct reap_pair *p, struct reap_verdict *v,
	struct reap_err *e)
{
	enum choice c = PRIMARY;
	size_t n;

	memset(v, 0, sizeof(*v));
	while (c < ALL && count_chosen(g, p, c) == 0)
		c++;
	n = count_chosen(g, p, c);
	if ((v->judged = reap_calloc(n, sizeof(*v->judged))) == NULL)
		return reap_fail_memory(e, "the verdict");
	v->primary = c == PRIMARY;
	v->intervals = true;
	for (size_t i = 0; i < p->count; i++) {
		if (!chosen(g, &p->rows[i], c))
			continue;
		v->judged[v->count].row = i;
		v->intervals &= p->rows[i].paired || p->look != 0;
		judge_row(g, &p->rows[i], p->look, &v->judged[v->count++]);
	}
	settle(v);
	note_pair(p, v);
	note_choice(g, p, c, v);
	return REAP_OK;
}

void reap_verdict_free(struct reap_verdict *v)
{
	free(v->judged);
	memset(v, 0, sizeof(*v));
}
