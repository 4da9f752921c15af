/* SPDX-License-Identifier: MIT
 *
 * The engine's memory: one list of its buffers, from which follow what a chunk of so
 * many tokens needs, what is allocated and what is freed.
 */
#ifndef REAP_BUFFERS_H
#define REAP_BUFFERS_H

#include "lib/engine/state.h"

/* Bytes for chunks of `cap` tokens, UINT64_MAX when 64 bits do not hold them. */
uint64_t reap_buffers_bytes(const struct reap_cpu *g, uint64_t cap);

/* Set g->c.cap: the buffers hold as many tokens as memory allows, but no more than are ever
 * wanted at once. */
REAP_MUST_CHECK int reap_buffers_choose(struct reap_cpu *g, struct reap_err *e);

REAP_MUST_CHECK int reap_buffers_open(struct reap_cpu *g, struct reap_err *e);
void reap_buffers_close(struct reap_cpu *g);

/* Rows of a group of experts in a chunk of so many tokens: an eighth of all pairs
 * within bounds, so that the groups are few and the buffers small. */
size_t reap_group_rows(const struct reap_cpu *g, size_t tokens);

/* Tokens that pass attention at once: a multiple of REAP_TILE. */
size_t reap_run_rows(const struct reap_cpu *g, size_t tokens);

/* Tokens that g->act must hold of the widest network that every token passes, or all of a smaller
 * chunk. */
enum { REAP_COMMON_ROWS = 512 };

/* Bytes of g->act for chunks of `cap` tokens. */
uint64_t reap_act_bytes(const struct reap_cpu *g, uint64_t cap);

#endif
