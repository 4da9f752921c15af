/* SPDX-License-Identifier: MIT
 *
 * The schema as data: one row per key.  schema.c walks it; nothing else does.
 */
#ifndef REAP_RULES_H
#define REAP_RULES_H

#include <stddef.h>

enum reap_rule_type {
	REAP_RULE_STR,
	REAP_RULE_NAME,  /* a string on one line */
	REAP_RULE_PLACE, /* a name that stays below the folder it is looked for in */
	REAP_RULE_FILE,  /* the name of a JSON file that a pipeline writes */
	REAP_RULE_INT,   /* min..max */
	REAP_RULE_REAL,  /* min..max; an integer is taken as a number */
	REAP_RULE_BOOL,
	REAP_RULE_WORD,   /* one of `words` */
	REAP_RULE_CSV,    /* distinct sequence lengths in a string, "1024,2048" */
	REAP_RULE_STRS,   /* list of strings, not empty */
	REAP_RULE_PLACES, /* list of places, not empty; PACK=PLACE gives one a name */
	REAP_RULE_WORDS,  /* list of some of `words` */
	REAP_RULE_INTS,   /* list of integers, min..max each */
	REAP_RULE_REALS,  /* list of numbers, min..max each */
	REAP_RULE_ENV,    /* mapping of any names to strings */
	REAP_RULE_MAP,    /* stands here only to be required */
	REAP_RULE_MAPS,   /* list of mappings, not empty; their keys are PATH[].key */
	REAP_RULE_ANY,    /* not looked into: what other programs recorded */
};

/* A note is for people, or for the checks of this library: no pipeline reads it.  But a note may
 * be the other place of a figure that one does read (consistency.h). */
enum { REAP_RULE_REQUIRED = 1, REAP_RULE_NULLABLE = 2, REAP_RULE_NOTE = 4 };

struct reap_rule {
	unsigned kinds; /* of enum reap_recipe_kind */
	const char *path;
	enum reap_rule_type type;
	unsigned flags;
	double min, max;
	const char *words; /* "a|b|c" */
};

extern const struct reap_rule reap_rules[];
extern const size_t reap_rule_count;

#endif
