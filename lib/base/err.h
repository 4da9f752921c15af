/* SPDX-License-Identifier: MIT
 *
 * The error type of the library.  Functions of lib/ never print, exit or abort
 * on bad input: they return REAP_OK or a negative code and write one line of
 * text into the caller's struct reap_err.  The first failure wins, so that
 * clean-up code cannot hide the cause.  Messages read "file: what: why", lower
 * case, without a full stop; the tool puts its own name before them.
 */
#ifndef REAP_ERR_H
#define REAP_ERR_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define REAP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define REAP_MUST_CHECK __attribute__((warn_unused_result))
#else
#define REAP_PRINTF(fmt, args)
#define REAP_MUST_CHECK
#endif

enum reap_code {
	REAP_OK = 0,
	REAP_EFAIL = -1,   /* a file, model or parameter is not usable: exit 1 */
	REAP_EUSAGE = -2,  /* the caller asked for something impossible: exit 2 */
	REAP_ESTREAM = -3, /* input stream truncated, damaged or of the wrong kind: exit 3 */
	REAP_EGATE = -4,   /* a gate did not pass (reap-gate): exit 4 */
};

struct reap_err {
	int code;        /* REAP_OK until something failed */
	bool memory;     /* memory ran out: the input is not to blame */
	char text[2048]; /* one line, no newline; empty until something failed; two names fit */
};

/* Record a failure and return `code`.  Does nothing but return the earlier code
 * when *e already holds a failure.  Control characters that came from a file
 * are replaced by '?', so that a message stays one line. */
int reap_fail(struct reap_err *e, int code, const char *fmt, ...) REAP_PRINTF(3, 4);

/* The same with ": " and strerror(errno) appended, code REAP_EFAIL. */
int reap_fail_errno(struct reap_err *e, const char *fmt, ...) REAP_PRINTF(2, 3);

/* What they do with the text: control characters become '?'. */
void reap_one_line(char *s);

/* Append a name to a list within a message: "a, b".  Where there is no room, "..." ends it. */
void reap_list_name(char *list, size_t size, const char *name);

/* Out of memory while doing `what`: always REAP_EFAIL. */
int reap_fail_memory(struct reap_err *e, const char *what);

#endif
