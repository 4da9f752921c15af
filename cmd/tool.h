/* SPDX-License-Identifier: MIT
 *
 * What every tool shares: its name, the standard options, messages, progress,
 * exit codes.  The only code that may print or exit.  A tool is one file in
 * cmd/: usage text, a getopt_long loop, one run() that returns a reap_code.
 */
#ifndef TOOL_H
#define TOOL_H

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/claims.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/progress.h"
#include "lib/stream/stream.h"

#define REAP_VERSION "0.1.0"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_STREAM = 3, EXIT_GATE = 4 };

/* getopt values of long options without a short form start here; a tool's own
 * start at TOOL_OWN. */
enum {
	TOOL_THREADS = 256,
	TOOL_MEMORY,
	TOOL_NO_HISTORY,
	TOOL_DRY_RUN,
	TOOL_JSON,
	TOOL_DEVICE,
	TOOL_DEVICE_MEMORY,
	TOOL_OWN = 300
};

/* Standard options.  Not every tool computes: those that do add TOOL_LONG_RUN,
 * and TOOL_LONG_DRY_RUN when they can say beforehand what a run takes. */
#define TOOL_SHORT "hVqv"
#define TOOL_LONG \
	{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, \
		{"quiet", no_argument, NULL, 'q'}, {"verbose", no_argument, NULL, 'v'}, \
	{ \
		"no-history", no_argument, NULL, TOOL_NO_HISTORY \
	}
#define TOOL_LONG_RUN \
	{"threads", required_argument, NULL, TOOL_THREADS}, \
	{ \
		"memory", required_argument, NULL, TOOL_MEMORY \
	}
#define TOOL_LONG_DEVICE \
	{"device", required_argument, NULL, TOOL_DEVICE}, \
	{ \
		"device-memory", required_argument, NULL, TOOL_DEVICE_MEMORY \
	}
#define TOOL_LONG_DRY_RUN \
	{"dry-run", no_argument, NULL, TOOL_DRY_RUN}, \
	{ \
		"json", no_argument, NULL, TOOL_JSON \
	}

/* The text of the standard options for a usage message. */
#define TOOL_USAGE_STD \
	"  -h, --help        print this help and exit\n" \
	"  -V, --version     print version, compiler and libraries and exit\n" \
	"  -q, --quiet       no progress\n" \
	"  -v, --verbose     say more on standard error\n"
#define TOOL_USAGE_HISTORY "      --no-history  leave the history out of the header\n"
#define TOOL_USAGE_RUN \
	"      --threads N   threads to use (default: what this process may use)\n" \
	"      --memory SIZE bound on the working set, such as 4G or 512Mi\n" \
	"                    (default: half of what this process may use, at most 4Gi)\n"
#define TOOL_USAGE_DEVICE \
	"      --device D    cpu, cuda or cuda:N; auto: a GPU if there is one (default: auto)\n" \
	"      --device-memory SIZE\n" \
	"                    of the GPU (default: what is free, less a reserve)\n"
#define TOOL_USAGE_DRY_RUN \
	"      --dry-run     print what the run would take, and run no model\n" \
	"      --json        ... as JSON, for machines\n"

/* The state of the standard options. */
struct tool {
	const char *name;
	const char *usage;
	int argc;
	char **argv;
	bool quiet, verbose, no_history;
	bool dry_run; /* streams go nowhere: only their size is wanted */
	bool json;    /* what a dry run prints is for machines */
	int threads;  /* set by option, else by tool_means(), as is memory */
	uint64_t memory;
	const char *device; /* of --device, else NULL */
	uint64_t device_memory;
	/* Words of the command line that the history leaves out: those of the last two
	 * options of tool_forget(). */
	const char *forgotten[2][2];
	struct reap_claims claims; /* of tool_reads() and its like */
	/* Extra lines for -V (GEMM backend and kernel level), set by tools that compute. */
	const char *(*version_extra)(bool verbose);
	const char *model; /* the last that tool_model() was asked for; NULL: none */
};
extern struct tool tool;

/* First thing in main: C locale, descriptors 0-2 open, defaults set. */
void tool_begin(const char *name, const char *usage, int argc, char **argv);

/* Handle a standard option; anything else that getopt returned is wrong usage
 * and exits 2. */
void tool_option(int c);

/* Call this after the options.  It sets the threads, and if `memory` the bytes, that no option
 * set, by what this process may use (lib/base/means.h); -v tells what decided. */
void tool_means(bool memory);

/* The option that getopt_long has just returned, with its argument, stays out of the history: it
 * says nothing of the result (--resume). */
void tool_forget(void);

/* "reap-x: why", the usage line, exit 2. */
_Noreturn void tool_usage(const char *fmt, ...) REAP_PRINTF(1, 2);

/* Numbers of options: the whole string, within the range, or exit 2. */
uint64_t tool_u64(const char *option, const char *arg, uint64_t min, uint64_t max);
double tool_f64(const char *option, const char *arg, double min, double max);
/* "I/N" with 1 <= I <= N <= REAP_MAX_SHARDS: *i is counted from 0. */
void tool_part(const char *option, const char *arg, uint64_t *i, uint64_t *n);
/* Which of the choices "one|two|three" it is, counted from 0, or exit 2. */
int tool_choice(const char *option, const char *arg, const char *choices);
uint64_t tool_size(const char *option, const char *arg); /* K M G Ki Mi Gi, decimal K = 1000 */

/* A figure for people, in a unit of its size: "4,961", "1.86 GiB", "3.20 TFLOP", "2.1 h". */
enum tool_unit { TOOL_COUNT, TOOL_BYTES, TOOL_FLOP, TOOL_SECONDS };
void tool_figure(char *out, size_t size, double v, enum tool_unit unit);

/* Lines on standard error, "reap-x: ...".  tool_info only without -q. */
void tool_info(const char *fmt, ...) REAP_PRINTF(1, 2);
void tool_warn(const char *fmt, ...) REAP_PRINTF(1, 2);

/* The directory of a model that an option names (lib/base/hub.h), whose files will be read; exits
 * when there is none, or when one of them is written.  What it returns lives as long as the
 * program. */
const char *tool_model(const char *name);

/* Warn when a file and a checkpoint may be of two models, which nothing but names tells. */
void tool_doubt(const char *file, const struct reap_model_id *of,
	const struct reap_model_id *model);

struct reap_model;
/* reap_model_open, with a warning when other loaders would take other weights. */
REAP_MUST_CHECK int tool_open_model(struct reap_model **m, const char *dir, struct reap_err *e);

/* Print the error and return the exit code for it.  After a signal that was caught, die
 * of it instead. */
int tool_report(const struct reap_err *e);

/* From now on a signal that would end the process only sets a variable to its number, so that
 * what was begun can be taken back.  Returns where the variable is. */
const volatile sig_atomic_t *tool_catch_signals(void);

/* Input: "-" or NULL is standard input, else open(2).  *name is for messages. */
REAP_MUST_CHECK int tool_input(const char *path, int *fd, const char **name, struct reap_err *e);
void tool_input_close(int fd); /* not standard input; -1 allowed */

/* No file that is read may be written, and no file may be written twice.  So a tool tells here
 * every name that it will open without tool_input(); "-" and NULL mean the standard descriptors.
 * Standard output is known.  Exit 2 where two names mean one file. */
void tool_reads(const char *path);
void tool_reads_found(const char *path);     /* a file beside one that the user named */
void tool_reads_tokenizer(const char *name); /* as reap_tokenizer_find will find it */
void tool_writes(const char *path);

/* Exit 2 when standard output is a terminal; for tools whose stream would go there. */
void tool_refuse_terminal(void);

/* Open the writer on standard output (in a dry run: on /dev/null) with a header of
 * `kind` that inherits from `from` (may be NULL) and carries this run in its history. */
REAP_MUST_CHECK int tool_writer(struct reap_writer **w, enum reap_kind kind,
	const struct reap_header *from, struct reap_err *e);

/* As tool_writer, with a header that the tool made itself (model, recipe); adds
 * the history entry, or drops all with --no-history. */
REAP_MUST_CHECK int tool_writer_header(struct reap_writer **w, struct reap_header *h,
	struct reap_err *e);

/* A progress line on standard error: rewritten in place twice a second on a
 * terminal, a plain line every 30 s elsewhere, nothing with -q.  `unit` is
 * "tokens", "bytes" ...  NULL-safe to pass to the library. */
struct reap_progress *tool_progress(const char *what, const char *unit);
void tool_progress_end(void); /* finish the line, if one was begun */
bool tool_progress_is_open(void);

/* The recipe of --recipe-id NAME:SHA256; anything else exits 2. */
struct tool_recipe {
	char name[256]; /* empty: none was given */
	char digest[REAP_SHA256_HEX];
};
void tool_recipe_parse(struct tool_recipe *r, const char *arg);

/* Put the recipe into a header, if one was given. */
void tool_recipe_set(const struct tool_recipe *r, struct reap_header *h);

/* Flush and close standard output (for text output); error when that fails. */
REAP_MUST_CHECK int tool_close_stdout(struct reap_err *e);

#endif
