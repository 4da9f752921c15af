/* SPDX-License-Identifier: MIT
 *
 * The parts of random_checkpoint: what is made, and who makes what of it.
 */
#ifndef TESTS_CHECKPOINT_H
#define TESTS_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/model/safetensors.h"

struct shape {
	uint64_t layers, hidden, inter, experts, top_k, heads, kv_heads, head_dim, vocab, window,
		context, truncate, shards, seed;
	/* Of glm4_moe; norm_topk also of qwen3_moe, ahead and rotary also of minimax_m2. */
	uint64_t norm_topk, dense, dense_inter, shared, ahead, qk_norm, biases;
	double gate_factor, rotary;
	double factor, theta, embed_std, logit_std;
	bool bf16, fp8, sparse;
	const struct arch *arch;
};

struct job;

/* What an architecture has beside what all have. */
struct arch {
	const char *name;
	void (*add_layer)(struct job *j, const char *stem, uint64_t layer);
	void (*write_config)(FILE *f, const struct shape *s);
	bool ahead; /* has layers behind the last one */
};

enum { MOST_SCALES = 32 };

/* For the tensors whose name contains `name`. */
struct scale {
	const char *name;
	bool column;
	uint64_t first, last, step;
	int power; /* of two */
};

enum fill { NORMAL, NORMAL_F32, NORMAL_FP8, CODES, SCALES };

struct spec {
	char name[96];
	enum fill fill;
	double mean, std;
	struct reap_tensor tensor;
};

struct job {
	struct shape s;
	struct spec *spec;
	size_t n, cap;
	struct reap_tensor *tensor; /* (n) those of spec, for the layout */
	struct scale scale[MOST_SCALES];
	size_t scales;
};

_Noreturn void die(const char *what, const char *why);

/* archs.c: the first is the one that is made when none is named. */
extern const struct arch archs[];
const struct arch *find_arch(const char *name);

/* tensors.c: tensors added to the job, named stem and name; std is the standard deviation of
 * their values, of which mean is the mean. */
void add_tensor(struct job *j, const char *name, enum fill fill, double mean, double std, int ndim,
	const uint64_t *shape);
void add_vector(struct job *j, const char *stem, const char *name, double mean, double std,
	uint64_t n);
void add_matrix(struct job *j, const char *stem, const char *name, double std, uint64_t rows,
	uint64_t columns);
/* In BF16, or in FP8 with a scale for each 128 x 128. */
void add_quantised(struct job *j, const char *stem, const char *name, double std, uint64_t rows,
	uint64_t columns);
/* A matrix of all experts, in BF16 or MXFP4. */
void add_stacked(struct job *j, const char *stem, const char *name, double std, uint64_t out,
	uint64_t in);
void add_biases(struct job *j, const char *stem); /* of attention, but for its output */
void add_norms(struct job *j, const char *stem);  /* of queries and keys, per head */
void add_swiglu(struct job *j, const char *stem, uint64_t inter);
/* Router and experts, each of which has tensors of its own. */
void add_moe(struct job *j, const char *stem);
/* All of the model, in the order of their names. */
void list_tensors(struct job *j);

/* values.c: the first bytes of a tensor's values. */
void write_values(int fd, const struct spec *s, uint64_t bytes, const struct job *j);

/* files.c */
void write_checkpoint(const char *dir, struct job *j);

#endif
