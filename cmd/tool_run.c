/* SPDX-License-Identifier: MIT */
#include "cmd/tool_run.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/engine/engine.h"
#include "lib/eval/agree.h"
#include "lib/model/model.h"

const char *tool_engine(bool verbose)
{
	static char text[512];
	struct reap_model *m = NULL;
	struct reap_err e = {0};

	if (tool.model != NULL && reap_model_open(&m, tool.model, &e) != REAP_OK)
		exit(tool_report(&e));
	reap_engine_describe(text, sizeof(text), m != NULL ? &m->cfg : NULL, tool_device(),
		verbose);
	reap_model_close(m);
	return text;
}

static void say_waits(const struct reap_engine *eng)
{
	struct reap_waits w;

	reap_engine_waits(eng, &w);
	if (w.seconds >= 1 && w.seconds >= w.of / 20)
		tool_info("waited %.0f s of %.0f s for weights, which came at %.0f MB/s: the disk "
			  "is the limit",
			w.seconds, w.of, (double)w.bytes / w.reading * 1e-6);
}

void tool_ran(struct reap_engine *eng, uint64_t outliers)
{
	struct reap_engine_figures f;
	char flop[40], bus[40], memory[40];

	say_waits(eng);
	if (!tool.verbose)
		return;
	tool_info("outliers: %" PRIu64 " times a token's numbers in a layer lay too far apart "
		  "for fixed point",
		outliers);
	if (!reap_engine_figures(eng, &f))
		return;
	tool_figure(flop, sizeof(flop), f.product_flop, TOOL_FLOP);
	tool_figure(bus, sizeof(bus), (double)f.bus_bytes, TOOL_BYTES);
	tool_figure(memory, sizeof(memory), (double)f.memory, TOOL_BYTES);
	tool_info("device: %.3f s, of which %.3f s in matrix products (%s); %s over the bus; %s of "
		  "its memory",
		f.seconds, f.product_seconds, flop, bus, memory);
}

const char *tool_device(void)
{
	const char *set = getenv("REAP_DEVICE"), *name = tool.device;

	if (name == NULL)
		name = set != NULL && set[0] != '\0' ? set : "auto";
	if (!reap_engine_device(name))
		tool_usage("%s: %s: not auto, cpu, cuda or cuda:N",
			tool.device != NULL ? "--device" : "REAP_DEVICE", name);
	return name;
}

/* ---- dry runs ---- */

/* One figure, for people with what it counts, for machines in one unit; `first` begins
 * the object of --json. */
static void figure(const char *name, double value, enum tool_unit unit, const char *of, bool first)
{
	const bool flop = unit == TOOL_FLOP, time = unit == TOOL_SECONDS;
	char words[40];

	if (tool.json) {
		printf("%s\"%s\":%.*f", first ? "{" : ",", name,
			flop           ? 3
				: time ? 1
				       : 0,
			flop ? value * 1e-9 : value);
		return;
	}
	tool_figure(words, sizeof(words), value, unit);
	printf("%-12s %s%s\n", name, words, of);
}

int tool_forecast(const struct reap_forecast *f, uint64_t bytes, struct reap_err *e)
{
	static const unsigned shards[] = {4, 16};
	const struct reap_work *w = &f->work;

	figure("blocks", (double)w->blocks, TOOL_COUNT, "", true);
	figure("longest", (double)w->longest, TOOL_COUNT, " tokens", false);
	figure("tokens", (double)w->tokens, TOOL_COUNT, "", false);
	figure("kept", (double)w->kept, TOOL_COUNT, " tokens", false);
	figure("attention", f->flops.attention, TOOL_FLOP, "", false);
	figure("router", f->flops.router, TOOL_FLOP, "", false);
	figure("experts", f->flops.experts, TOOL_FLOP, "", false);
	figure("lm_head", f->flops.lm_head, TOOL_FLOP, "", false);
	figure("total", reap_flops_total(&f->flops), TOOL_FLOP, "", false);
	figure("speed", f->rate, TOOL_FLOP, "/s", false);
	figure("time", reap_forecast_seconds(f, 1), TOOL_SECONDS, "", false);
	figure("memory", (double)f->memory, TOOL_BYTES, "", false);
	figure("chunk", (double)f->chunk, TOOL_COUNT, " tokens", false);
	figure("chunks", (double)w->chunks, TOOL_COUNT, "", false);
	figure("weights", (double)f->weights * (double)w->chunks, TOOL_BYTES, " read", false);
	figure("disk", (double)bytes, TOOL_BYTES, "", false);
	for (size_t i = 0; i < sizeof(shards) / sizeof(*shards); i++) {
		char name[32];

		snprintf(name, sizeof(name), "time_of_%u", shards[i]);
		figure(name, reap_forecast_seconds(f, shards[i]), TOOL_SECONDS, " each", false);
		snprintf(name, sizeof(name), "disk_of_%u", shards[i]);
		figure(name, (double)(bytes / shards[i]), TOOL_BYTES, " each", false);
	}
	if (tool.json)
		puts("}");
	return tool_close_stdout(e);
}

/* ---- the model ---- */

static const struct reap_model *mapped;

static size_t append(char *line, size_t size, size_t at, const char *s)
{
	const size_t room = size - at, n = strlen(s);

	memcpy(line + at, s, n < room ? n : room);
	return n < room ? at + n : size;
}

/* Only what is safe in a signal handler.  Any thread may have touched the page: the
 * first one speaks. */
static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	static atomic_flag spoken = ATOMIC_FLAG_INIT;
	bool cut_short;
	const char *path = reap_model_file_at(mapped, info->si_addr, &cut_short);
	const char *const part[] = {tool_progress_is_open() ? "\n" : "", tool.name, ": ", path,
		cut_short ? ": was cut short while it was read\n"
			  : ": cannot be read from its disk\n"};
	char line[1024];
	size_t n = 0;

	(void)context;
	if (path == NULL) { /* not ours: die of it */
		signal(sig, SIG_DFL);
		return;
	}
	while (atomic_flag_test_and_set(&spoken))
		pause();
	for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
		n = append(line, sizeof(line), n, part[i]);
	(void)!write(STDERR_FILENO, line, n);
	_exit(EXIT_FAILED);
}

int tool_map_model(struct reap_model *m, struct reap_err *e)
{
	struct sigaction a = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};

	mapped = m;
	sigemptyset(&a.sa_mask);
	sigaction(SIGBUS, &a, NULL);
	return reap_model_map(m, e);
}

/* ---- what an interrupted run left ---- */

void tool_resume_next(struct tool_resume *r)
{
	struct reap_err ignored = {0};

	if (r->reader != NULL && reap_read(r->reader, &r->rec, &ignored) <= 0) {
		reap_reader_close(r->reader);
		r->reader = NULL;
	}
}

int tool_resume_open(struct tool_resume *r, const char *path, enum reap_kind kind,
	const char *model, const struct reap_model_id *mine, struct reap_err *e)
{
	const struct reap_header *h;
	struct reap_err why = {0};
	int rc = tool_input(path, &r->fd, &r->name, e);

	if (rc != REAP_OK)
		return rc;
	rc = reap_reader_open(&r->reader, r->fd, r->name, REAP_KIND_ANY, &why);
	if (rc == REAP_ESTREAM) { /* killed before the first flush */
		tool_info("%s: starting from the beginning", why.text);
		return REAP_OK;
	}
	if (rc != REAP_OK)
		return reap_fail(e, rc, "%s", why.text);
	h = reap_reader_header(r->reader);
	if (h->kind != kind)
		return reap_fail(e, REAP_ESTREAM, "%s: kind %s, expected %s", r->name,
			reap_kind_name(h->kind), reap_kind_name(kind));
	rc = reap_model_id_match(r->name, &h->model, model, mine, e);
	if (rc == REAP_OK)
		tool_resume_next(r);
	return rc;
}

int tool_resume_arithmetic(const struct tool_resume *r, const char *theirs, char *mine,
	struct reap_err *e)
{
	int rc = reap_agree_backend(r->name, theirs, "this run", mine, e);

	if (rc != REAP_OK || strcmp(theirs, mine) == 0)
		return rc;
	tool_info("%s: made with another arithmetic: the result names both: %s", r->name, theirs);
	return reap_backend_add(mine, theirs, e);
}

void tool_resume_close(struct tool_resume *r)
{
	reap_reader_close(r->reader);
	tool_input_close(r->fd);
}
