/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cmd/tool.h"
#include "lib/base/clock.h"

static struct {
	struct reap_progress base;
	const char *what, *unit;
	double begun, last;  /* seconds; last: when a line was printed */
	bool terminal, open; /* open: an unfinished line is on the terminal */
} progress;

static void tick(struct reap_progress *p, uint64_t done, uint64_t total)
{
	double t = reap_seconds(), rate;

	(void)p;
	if (t - progress.last < (progress.terminal ? 0.5 : 30.0))
		return;
	progress.last = t;
	rate = (double)done / (t - progress.begun);
	fprintf(stderr, "%s%s: %s: %" PRIu64, progress.terminal ? "\r" : "", tool.name,
		progress.what, done);
	if (total > 0)
		fprintf(stderr, " of %" PRIu64, total);
	fprintf(stderr, " %s, %.4g %s/s", progress.unit, rate, progress.unit);
	if (total > done && done > 0) {
		double left = (double)(total - done) / rate;

		if (left < 99.5 * 60)
			fprintf(stderr, ", %d:%02d left", (int)(left / 60), (int)left % 60);
		else
			fprintf(stderr, ", %.1f h left", left / 3600);
	}
	/* On a terminal: wipe what an earlier, longer line left. */
	fputs(progress.terminal ? "\033[K" : "\n", stderr);
	fflush(stderr);
	progress.open = progress.terminal;
}

struct reap_progress *tool_progress(const char *what, const char *unit)
{
	if (tool.quiet)
		return NULL;
	tool_progress_end();
	progress.base.tick = tick;
	progress.what = what;
	progress.unit = unit;
	progress.terminal = isatty(STDERR_FILENO);
	progress.begun = progress.last = reap_seconds();
	return &progress.base;
}

void tool_progress_end(void)
{
	if (progress.open)
		fputc('\n', stderr);
	progress.open = false;
}

bool tool_progress_is_open(void)
{
	return progress.open;
}
