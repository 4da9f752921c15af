/* SPDX-License-Identifier: MIT
 *
 * The tokenizer of a model, with what its maker says beside it.
 */
#ifndef REAP_TOKENIZER_H
#define REAP_TOKENIZER_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/text/bpe.h"
#include "lib/text/template.h"

struct reap_tokenizer {
	struct reap_bpe *bpe; /* NULL: there is none, and `none` says why */
	char none[400];
	char *path; /* of tokenizer.json; NULL: none was named */
};

/* The tokenizer.json `file`, or that of the directory `model`, which may have none: rows
 * of ids need no tokenizer.  Both may be NULL. */
REAP_MUST_CHECK int reap_tokenizer_open(struct reap_tokenizer *t, const char *model,
	const char *file, struct reap_err *e);
/* The same for one name: a tokenizer.json, or a model that has one. */
REAP_MUST_CHECK int reap_tokenizer_find(struct reap_tokenizer *t, const char *name,
	struct reap_err *e);
void reap_tokenizer_close(struct reap_tokenizer *t); /* an all-zero one is fine */

/* The path of the file `name` beside a tokenizer.json, to be freed; NULL when out of memory. */
char *reap_tokenizer_beside(const char *tokenizer, const char *name);

/* The token that ends a row: `eos`, which is a token or an id, or for NULL the eos_token of
 * the tokenizer_config.json beside the tokenizer. */
REAP_MUST_CHECK int reap_tokenizer_eos(const struct reap_tokenizer *t, const char *eos,
	uint32_t *id, struct reap_err *e);

/* *out gets the chat template of the model, with the date (NULL: none), if the tokens of the
 * model are not those of Harmony; else, or without a tokenizer, *out is NULL. */
REAP_MUST_CHECK int reap_tokenizer_template(const struct reap_tokenizer *t, const char *date,
	struct reap_template **out, struct reap_err *e);

#endif
