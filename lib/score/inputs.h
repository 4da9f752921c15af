/* SPDX-License-Identifier: MIT
 *
 * Several streams that are read as one, some of them twice.
 */
#ifndef REAP_INPUTS_H
#define REAP_INPUTS_H

#include <sys/types.h>

#include "lib/base/hash.h"
#include "lib/stream/stream.h"

struct reap_input {
	const char *name; /* for messages */
	const char *path; /* to be opened when it is read, unless fd is there */
	int fd;           /* -1: open path */
	off_t start;      /* where the stream begins in fd; -1: a pipe */
	uint64_t bytes;   /* 0: not known */
	char recipe_name[256], recipe_digest[REAP_SHA256_HEX]; /* "": none */
};

struct reap_inputs {
	struct reap_input *in;
	size_t n;
	struct reap_header head;    /* of the first, with the history of all; kind saliency */
	char backend[REAP_BACKEND]; /* of the first */
	bool mixed;                 /* others have another, or one has several */
};

/* Find out what the n names are ("-" or no name at all: standard input); they must outlive *s.  A
 * pipe passes by once: with `twice` it is copied to a temporary file. */
REAP_MUST_CHECK int reap_inputs_open(struct reap_inputs *s, int n, char **path, bool twice,
	struct reap_err *e);
void reap_inputs_close(struct reap_inputs *s);

/* A descriptor that stands at the beginning of the stream; give it back. */
REAP_MUST_CHECK int reap_input_begin(const struct reap_input *in, int *fd, struct reap_err *e);
void reap_input_end(const struct reap_input *in, int fd);

/* Take in the header of an input.  Model and precision must be those of the first input.  The
 * histories are joined, and the recipe stays only if all have the same. */
REAP_MUST_CHECK int reap_inputs_take_header(struct reap_inputs *s, struct reap_input *in,
	const struct reap_header *h, struct reap_err *e);

/* Error that names both unless the two, whose headers were taken, have one recipe. */
REAP_MUST_CHECK int reap_inputs_same_recipe(const struct reap_input *a, const struct reap_input *b,
	struct reap_err *e);

#endif
