/* SPDX-License-Identifier: MIT
 *
 * What is known of an architecture, in one table: what its config.json says, and a spec
 * for each of its weights.  Whoever binds, checks, prunes, counts or forecasts walks the table;
 * no other code knows the name of a tensor.
 */
#ifndef REAP_ARCH_H
#define REAP_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/model/format.h"

struct reap_config;
struct json_t;

/* What a weight is for.  Matrices are (outputs, inputs) if not said otherwise. */
enum reap_role {
	/* of the model */
	REAP_ROLE_EMBED,
	REAP_ROLE_FINAL_NORM,
	REAP_ROLE_LM_HEAD,
	/* of a layer */
	REAP_ROLE_INPUT_NORM,
	REAP_ROLE_Q,
	REAP_ROLE_Q_BIAS,
	REAP_ROLE_K,
	REAP_ROLE_K_BIAS,
	REAP_ROLE_V,
	REAP_ROLE_V_BIAS,
	REAP_ROLE_O,
	REAP_ROLE_O_BIAS,
	REAP_ROLE_Q_NORM, /* of one head, used for each, or of all heads at once */
	REAP_ROLE_K_NORM,
	REAP_ROLE_SINKS,
	REAP_ROLE_POST_NORM,
	REAP_ROLE_ROUTER,
	REAP_ROLE_ROUTER_BIAS, /* added to the logits */
	REAP_ROLE_CHOICE_BIAS, /* added to the scores for the choice alone */
	/* Gate and up of the experts: one matrix, a row of each in turn or in halves, or two. */
	REAP_ROLE_GATE_UP,
	REAP_ROLE_GATE,
	REAP_ROLE_UP,
	REAP_ROLE_GATE_UP_BIAS,
	REAP_ROLE_DOWN,
	REAP_ROLE_DOWN_BIAS,
	/* What every token passes: shared experts, and the network of a layer without others. */
	REAP_ROLE_COMMON_GATE,
	REAP_ROLE_COMMON_UP,
	REAP_ROLE_COMMON_DOWN,
	REAP_ROLES
};

/* What an extent of a weight counts. */
enum reap_dim {
	REAP_DIM_NONE,
	REAP_DIM_VOCAB,
	REAP_DIM_HIDDEN,
	REAP_DIM_HEADS,
	REAP_DIM_HEAD, /* one head */
	REAP_DIM_Q,    /* all heads of queries */
	REAP_DIM_KV,   /* all heads of keys */
	REAP_DIM_EXPERTS,
	REAP_DIM_INTER,
	REAP_DIM_INTER2, /* gate and up */
	REAP_DIM_SHARED, /* of all shared experts together */
	REAP_DIM_DENSE,  /* of a layer without experts */
};

enum {
	/* What is checked when a model is opened: that no value is NaN or infinite, and that not
	 * all are zero, which is how a hole in a download reads. */
	REAP_SPEC_FINITE = 1,
	REAP_SPEC_NOT_ZERO = 2,
	/* Numbers that multiply the inputs of many tokens, expert by expert: they are checked
	 * when the expert is used or copied. */
	REAP_SPEC_EXPERT = 4,
	/* The matrix lies (inputs, outputs). */
	REAP_SPEC_TURNED = 8,
	/* Each expert has a tensor of its own. */
	REAP_SPEC_APART = 16,
	/* Only in layers with experts, and only in those without. */
	REAP_SPEC_MOE = 32,
	REAP_SPEC_DENSE = 64,
	/* Rows 0 to inter - 1 are gate's, the others up's. */
	REAP_SPEC_HALVES = 128,
};

enum { REAP_SPEC_DIMS = 3 };

/* A weight.  Experts are the first dimension where that is REAP_DIM_EXPERTS. */
struct reap_spec {
	enum reap_role role;
	const char *name; /* {layer} and {expert} stand for numbers */
	enum reap_dim dim[REAP_SPEC_DIMS];
	const struct reap_format *format; /* NULL: that of the experts */
	unsigned flags;
	bool (*when)(const struct reap_config *c); /* NULL: always */
};

enum reap_count { REAP_COUNT_EXPERTS, REAP_COUNT_TOP_K, REAP_COUNT_AHEAD, REAP_COUNTS };

/* A key of config.json that says how many experts there are, or how many a token takes, or
 * how many layers behind the last one predict further tokens (lib/model/bind.h). */
struct reap_count_key {
	const char *key;
	enum reap_count of;
	bool add; /* a pruned model says it even where its source does not */
};

enum { REAP_COUNT_KEYS = 4 };

struct reap_arch {
	const char *name;   /* model_type */
	const char *causal; /* in architectures */
	const struct reap_spec *spec;
	size_t specs;
	/* First come the keys that messages name: of the experts, of those a token takes, and the
	 * other name for the experts. */
	struct reap_count_key count[REAP_COUNT_KEYS];
	/* Keys of config.json that parse() reads or that change nothing, without those that all
	 * families have; NULL ends them. */
	const char *const *keys;
	/* The experts kept must be a multiple of this, unless none is pruned; `why` says why.  1:
	 * any number. */
	uint32_t multiple;
	const char *why;
	/* Fill all of *c that config.json says; a value that the engine does not compute
	 * with exactly is an error that names its key.  `name` stands in messages. */
	int (*parse)(struct reap_config *c, const struct json_t *root, const char *name,
		struct reap_err *e);
};

extern const struct reap_arch reap_arch_gpt_oss, reap_arch_qwen3_moe, reap_arch_glm4_moe,
	reap_arch_minimax_m2;

/* The architecture with this model_type, NULL when there is none. */
const struct reap_arch *reap_arch_find(const char *name);

/* Their names, "a, b, c". */
void reap_arch_names(char *out, size_t size);

/* ---- specs ---- */

static inline bool reap_spec_of_layer(const struct reap_spec *r)
{
	return r->role > REAP_ROLE_LM_HEAD;
}

/* Does it shrink with the experts? */
static inline bool reap_spec_of_experts(const struct reap_spec *r)
{
	return r->dim[0] == REAP_DIM_EXPERTS || (r->flags & REAP_SPEC_APART);
}

static inline bool reap_spec_of_router(const struct reap_spec *r)
{
	return r->role == REAP_ROLE_ROUTER || r->role == REAP_ROLE_ROUTER_BIAS ||
		r->role == REAP_ROLE_CHOICE_BIAS;
}

bool reap_spec_holds(const struct reap_spec *r, const struct reap_config *c);

/* Of a spec that holds: does a layer have it, and how many times is it in the model? */
bool reap_spec_in(const struct reap_spec *r, const struct reap_config *c, uint32_t layer);
uint32_t reap_spec_times(const struct reap_spec *r, const struct reap_config *c);

const struct reap_format *reap_spec_format(const struct reap_spec *r, const struct reap_config *c);

/* The spec of a role that holds, NULL: none. */
const struct reap_spec *reap_spec_find(const struct reap_config *c, enum reap_role role);

/* The shape of the numbers in a tensor, and as result how many dimensions it has; and how many
 * numbers a layer has. */
int reap_spec_shape(const struct reap_spec *r, const struct reap_config *c, uint64_t *dim);
uint64_t reap_spec_numbers(const struct reap_spec *r, const struct reap_config *c);

/* The bytes of these numbers, in the usual types. */
uint64_t reap_spec_bytes(const struct reap_spec *r, const struct reap_config *c);

enum { REAP_SPEC_NAME = 128 };

/* The name of the tensor that holds part p of the weight. */
void reap_spec_name(const struct reap_spec *r, const struct reap_format *f, enum reap_weight_part p,
	uint32_t layer, uint32_t expert, char out[REAP_SPEC_NAME]);

#endif
