/* SPDX-License-Identifier: MIT
 *
 * What the tools share that run a model: its weights, what a run would take, and what an
 * interrupted one left.
 */
#ifndef TOOL_RUN_H
#define TOOL_RUN_H

#include "cmd/tool.h"
#include "lib/engine/cost.h"

struct reap_engine;
struct reap_model;

/* The device to run on, as lib/engine/engine.h names it: that of --device, else of the environment
 * variable REAP_DEVICE, else "auto"; exit 2 if it is none. */
const char *tool_device(void);

/* What --version says of the engine: for the model that -m named before it, or any. */
const char *tool_engine(bool verbose);

/* Map the weights for a run.  From here on, a file of weights that is cut short, or
 * cannot be read, ends the program with a line that names it instead of SIGBUS. */
REAP_MUST_CHECK int tool_map_model(struct reap_model *m, struct reap_err *e);

/* At the end of a run: whether the disk was its limit; with -v, how many outliers its records told
 * of (lib/stream/rec_trace.h), and what a GPU did. */
void tool_ran(struct reap_engine *eng, uint64_t outliers);

/* What a dry run foresees, on standard output: a line for each figure, or with --json one
 * object of the names and values; `bytes` is the size of the stream. */
REAP_MUST_CHECK int tool_forecast(const struct reap_forecast *f, uint64_t bytes,
	struct reap_err *e);

/* What an interrupted run of --resume left: its records up to where it breaks
 * off.  All zero: nothing to take over. */
struct tool_resume {
	struct reap_reader *reader; /* NULL: none, or used up */
	const char *name;
	int fd;
	struct reap_rec rec; /* the next one, while there is a reader */
};

/* Open it and read its first record.  Refused: another kind, another model than `mine` (at
 * `model`).  One that was killed before its first flush holds nothing. */
REAP_MUST_CHECK int tool_resume_open(struct tool_resume *r, const char *path, enum reap_kind kind,
	const char *model, const struct reap_model_id *mine, struct reap_err *e);

/* Go to the next record that can be used.  Where the interrupted stream breaks
 * off, or ends, there is nothing more to take over. */
void tool_resume_next(struct tool_resume *r);

/* `mine` (REAP_BACKEND bytes) names the arithmetic of this run; name that of the interrupted one
 * in it, too.  Refused: only one of them rounds inputs of experts to 8 bits. */
REAP_MUST_CHECK int tool_resume_arithmetic(const struct tool_resume *r, const char *theirs,
	char *mine, struct reap_err *e);
void tool_resume_close(struct tool_resume *r);

#endif
