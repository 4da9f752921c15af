/* SPDX-License-Identifier: MIT */
#include "cmd/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/hub.h"
#include "lib/base/io.h"
#include "lib/base/means.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/model/model.h"

struct tool tool;

/* A closed descriptor 0-2 would be taken by the first file opened, and data
 * would go into it or messages into data.  Fill the gaps with descriptors that
 * fail when used: reading from a write-only one and writing to a read-only one. */
static void fill_std_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
			open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			_exit(EXIT_FAILED);
}

/* A claim is an error of usage before anything was read or written. */
static void claim(int rc, const struct reap_err *e)
{
	if (rc != REAP_OK)
		exit(tool_report(e));
}

void tool_begin(const char *name, const char *usage, int argc, char **argv)
{
	struct reap_err e = {0};

	fill_std_fds();
	setlocale(LC_ALL, "C");
	tool.name = name;
	tool.usage = usage;
	tool.argc = argc;
	/* getopt_long moves operands to the end: the history shows what was typed. */
	tool.argv = reap_alloc((size_t)argc + 1, sizeof(*tool.argv));
	if (tool.argv == NULL) {
		fprintf(stderr, "%s: out of memory\n", name);
		exit(EXIT_FAILED);
	}
	memcpy(tool.argv, argv, ((size_t)argc + 1) * sizeof(*tool.argv));
	claim(reap_claim_fd(&tool.claims, STDOUT_FILENO, "standard output", true, &e), &e);
}

static void vmessage(const char *fmt, va_list ap) REAP_PRINTF(1, 0);
static void vmessage(const char *fmt, va_list ap)
{
	tool_progress_end();
	fprintf(stderr, "%s: ", tool.name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void tool_info(const char *fmt, ...)
{
	va_list ap;

	if (tool.quiet)
		return;
	va_start(ap, fmt);
	vmessage(fmt, ap);
	va_end(ap);
}

void tool_outliers(uint64_t n)
{
	if (tool.verbose)
		tool_info("outliers: %" PRIu64
			  " times a token's numbers in a layer lay too far apart "
			  "for fixed point",
			n);
}

void tool_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(fmt, ap);
	va_end(ap);
}

const char *tool_model(const char *name)
{
	static char *named[8]; /* so that no leak is seen in them */
	static size_t n;
	struct reap_err e = {0};
	char *dir;

	claim(reap_hub_find(name, &dir, &e), &e);
	named[n++ % (sizeof(named) / sizeof(named[0]))] = dir;
	return dir;
}

int tool_open_model(struct reap_model **m, const char *dir, struct reap_err *e)
{
	const char *other = reap_model_overridden(dir);

	if (other != NULL)
		tool_warn(
			"%s/%s: transformers with peft loads the model that it names, not these weights",
			dir, other);
	return reap_model_open(m, dir, e);
}

void tool_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vmessage(fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try '%s --help'.\n", tool.name);
	exit(EXIT_USAGE);
}

static void print_version(void)
{
	printf("%s (reap) %s\n", tool.name, REAP_VERSION);
#if defined(__clang__)
	printf("compiler: clang %s\n", __clang_version__);
#else
	printf("compiler: gcc %s\n", __VERSION__);
#endif
#ifdef REAP_FLAGS
	printf("flags: %s\n", REAP_FLAGS);
#endif
	printf("msgpack-c: %s\n", msgpack_version());
	if (tool.version_extra != NULL)
		printf("%s\n", tool.version_extra(tool.verbose));
}

void tool_option(int c)
{
	struct reap_err e = {0};

	switch (c) {
	case 'h':
		fputs(tool.usage, stdout);
		break;
	case 'V':
		print_version();
		break;
	case 'q':
		tool.quiet = true;
		return;
	case 'v':
		tool.verbose = true;
		return;
	case TOOL_NO_HISTORY:
		tool.no_history = true;
		return;
	case TOOL_THREADS:
		tool.threads = (int)tool_u64("--threads", optarg, 1, 1024);
		return;
	case TOOL_MEMORY:
		tool.memory = tool_size("--memory", optarg);
		return;
	case TOOL_DRY_RUN:
		tool.dry_run = true;
		tool_forget();
		return;
	case TOOL_JSON:
		tool.json = true;
		return;
	default:
		/* getopt_long has said what is wrong, under argv[0]'s name. */
		fprintf(stderr, "Try '%s --help'.\n", tool.name);
		exit(EXIT_USAGE);
	}
	if (tool_close_stdout(&e) != REAP_OK)
		exit(tool_report(&e));
	exit(EXIT_DONE);
}

void tool_forget(void)
{
	tool.forgotten[0] = tool.argv[optind - 1];
	if (optarg == tool.argv[optind - 1])
		tool.forgotten[1] = tool.argv[optind - 2];
}

/* Add the command line, without the forgotten words, to the history. */
static int add_history(struct reap_header *h, struct reap_err *e)
{
	char **argv = reap_alloc((size_t)tool.argc, sizeof(*argv));
	int argc = 0, rc;

	if (argv == NULL)
		return reap_fail_memory(e, "the command line");
	for (int i = 0; i < tool.argc; i++)
		if (tool.argv[i] != tool.forgotten[0] && tool.argv[i] != tool.forgotten[1])
			argv[argc++] = tool.argv[i];
	rc = reap_header_add_history(h, tool.name, REAP_VERSION, argc, argv, e);
	free(argv);
	return rc;
}

uint64_t tool_u64(const char *option, const char *arg, uint64_t min, uint64_t max)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end != '\0' || errno == ERANGE || v < min || v > max)
		tool_usage("%s: '%s' is not a number within %" PRIu64 "..%" PRIu64, option, arg,
			min, max);
	return v;
}

void tool_part(const char *option, const char *arg, uint64_t *i, uint64_t *n)
{
	char first[24] = "";
	size_t len = strcspn(arg, "/");

	if (arg[len] != '/' || len >= sizeof(first))
		tool_usage("%s: '%s' is not of the form I/N", option, arg);
	memcpy(first, arg, len);
	*n = tool_u64(option, arg + len + 1, 1, UINT32_MAX);
	*i = tool_u64(option, first, 1, *n) - 1;
}

/* strtod(3), but not of hexadecimal numbers, which are hardly ever meant. */
static double decimal(const char *arg, char **end)
{
	double v = strtod(arg, end);

	if (memchr(arg, 'x', (size_t)(*end - arg)) == NULL &&
		memchr(arg, 'X', (size_t)(*end - arg)) == NULL)
		return v;
	*end = (char *)(uintptr_t)arg;
	return 0;
}

double tool_f64(const char *option, const char *arg, double min, double max)
{
	double v;
	char *end;

	errno = 0;
	v = decimal(arg, &end);
	if (end == arg || *end != '\0' || !isfinite(v) || v < min || v > max)
		tool_usage("%s: '%s' is not a number within %g..%g", option, arg, min, max);
	return v;
}

uint64_t tool_size(const char *option, const char *arg)
{
	static const char letters[] = "KMGT";
	uint64_t unit = 1;
	const char *p;
	double v;
	char *end;

	errno = 0;
	v = decimal(arg, &end);
	if (end != arg && *end != '\0' && (p = strchr(letters, *end)) != NULL) {
		uint64_t base = end[1] == 'i' ? 1024 : 1000;

		for (int i = (int)(p - letters); i >= 0; i--)
			unit *= base;
		end += base == 1024 ? 2 : 1;
	}
	if (*end == 'B')
		end++;
	if (*arg < '0' || *arg > '9' || *end != '\0' || !isfinite(v) || v * (double)unit < 1 ||
		v * (double)unit > 1e18)
		tool_usage("%s: '%s' is not a size (as 1500M, 4G, 512Mi)", option, arg);
	return (uint64_t)(v * (double)unit);
}

/* ---- signals ---- */

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

const volatile sig_atomic_t *tool_catch_signals(void)
{
	/* All that end a process unless it does something about them, but for those that
	 * tell of its own faults, and SIGKILL. */
	static const int ends[] = {SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGPROF, SIGQUIT, SIGTERM,
		SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ};
	struct sigaction a = {.sa_handler = on_signal}, old;

	sigemptyset(&a.sa_mask);
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(ends[i], &a, NULL);
	return &caught;
}

int tool_report(const struct reap_err *e)
{
	tool_progress_end();
	/* A consumer that left early is no error to speak of. */
	if (e->text[0] != '\0' && caught != SIGPIPE)
		fprintf(stderr, "%s: %s\n", tool.name, e->text);
	if (caught != 0) {
		signal(caught, SIG_DFL);
		raise(caught);
	}
	switch ((enum reap_code)e->code) {
	case REAP_OK:
		return EXIT_DONE;
	case REAP_EUSAGE:
		return EXIT_USAGE;
	case REAP_ESTREAM:
		return EXIT_STREAM;
	case REAP_EGATE:
		return EXIT_GATE;
	case REAP_EFAIL:
		break;
	}
	return EXIT_FAILED;
}

static bool is_standard(const char *path)
{
	return path == NULL || strcmp(path, "-") == 0;
}

void tool_reads(const char *path)
{
	struct reap_err e = {0};

	claim(is_standard(path)
			? reap_claim_fd(&tool.claims, STDIN_FILENO, "standard input", false, &e)
			: reap_claim_read(&tool.claims, path, &e),
		&e);
}

void tool_reads_dir(const char *dir)
{
	struct reap_err e = {0};

	claim(reap_claim_read_dir(&tool.claims, dir, &e), &e);
}

void tool_writes(const char *path)
{
	struct reap_err e = {0};

	if (!is_standard(path))
		claim(reap_claim_write(&tool.claims, path, &e), &e);
}

int tool_input(const char *path, int *fd, const char **name, struct reap_err *e)
{
	*name = is_standard(path) ? "standard input" : path;
	*fd = is_standard(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return reap_fail_errno(e, "%s", path);
	return reap_claim_fd(&tool.claims, *fd, *name, false, e);
}

void tool_refuse_terminal(void)
{
	if (isatty(STDOUT_FILENO) && !tool.dry_run)
		tool_usage("standard output is a terminal: send the stream to a file or a pipe "
			   "(reap-show reads streams for people)");
}

int tool_writer_header(struct reap_writer **w, struct reap_header *h, struct reap_err *e)
{
	int fd = STDOUT_FILENO, rc;

	if (tool.no_history)
		reap_header_drop_history(h);
	else if ((rc = add_history(h, e)) != REAP_OK)
		return rc;
	if (tool.dry_run && (fd = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0)
		return reap_fail_errno(e, "/dev/null");
	return reap_writer_open(w, fd, tool.dry_run ? "/dev/null" : "standard output", h, e);
}

int tool_writer(struct reap_writer **w, enum reap_kind kind, const struct reap_header *from,
	struct reap_err *e)
{
	struct reap_header h;
	int rc = reap_header_init(&h, kind, from, e);

	if (rc == REAP_OK)
		rc = tool_writer_header(w, &h, e);
	reap_header_free(&h);
	return rc;
}

void tool_means(bool memory)
{
	const uint64_t most = (uint64_t)4 << 30;
	const double mib = 1048576;
	struct reap_means l;

	reap_means(&l);
	if (tool.threads == 0) {
		tool.threads = l.cpus;
		if (tool.verbose)
			tool_info("threads: %d, as many as %s allows", l.cpus, l.cpus_by);
	}
	if (memory && tool.memory == 0) {
		tool.memory = l.memory / 2 < most ? l.memory / 2 : most;
		if (tool.verbose)
			tool_info("memory: %.0f MiB, %s the %.0f MiB that %s allows",
				(double)tool.memory / mib,
				tool.memory < most ? "half of" : "the most by default, of",
				(double)l.memory / mib, l.memory_by);
	}
}

/* ---- recipes ---- */

void tool_recipe_parse(struct tool_recipe *r, const char *arg)
{
	const char *colon = strrchr(arg, ':');
	size_t n = colon != NULL ? (size_t)(colon - arg) : 0;

	if (n == 0 || n >= sizeof(r->name) || strlen(colon + 1) != 64 ||
		strspn(colon + 1, "0123456789abcdef") != 64 || !reap_utf8_valid(arg, n))
		tool_usage("--recipe-id: '%s' is not NAME:SHA256 (64 lower-case hex digits)", arg);
	memcpy(r->name, arg, n);
	r->name[n] = '\0';
	memcpy(r->digest, colon + 1, sizeof(r->digest));
}

void tool_recipe_set(const struct tool_recipe *r, struct reap_header *h)
{
	if (r->name[0] == '\0')
		return;
	h->has_recipe = true;
	memcpy(h->recipe_name, r->name, sizeof(h->recipe_name));
	memcpy(h->recipe_digest, r->digest, sizeof(h->recipe_digest));
}

/* ---- dry runs ---- */

/* One figure; `first` begins the object of --json. */
static void figure(const char *name, int digits, double value, const char *unit, bool first)
{
	if (tool.json)
		printf("%s\"%s\":%.*f", first ? "{" : ",", name, digits, value);
	else
		printf("%-16s %16.*f %s\n", name, digits, value, unit);
}

int tool_forecast(const struct reap_forecast *f, uint64_t bytes, struct reap_err *e)
{
	static const unsigned shards[] = {4, 16};
	const struct reap_work *w = &f->work;

	figure("blocks", 0, (double)w->blocks, "blocks", true);
	figure("longest", 0, (double)w->longest, "tokens", false);
	figure("tokens", 0, (double)w->tokens, "tokens", false);
	figure("kept", 0, (double)w->kept, "tokens", false);
	figure("attention", 3, f->flops.attention * 1e-9, "GFLOP", false);
	figure("router", 3, f->flops.router * 1e-9, "GFLOP", false);
	figure("experts", 3, f->flops.experts * 1e-9, "GFLOP", false);
	figure("lm_head", 3, f->flops.lm_head * 1e-9, "GFLOP", false);
	figure("total", 3, reap_flops_total(&f->flops) * 1e-9, "GFLOP", false);
	figure("speed", 3, f->rate * 1e-9, "GFLOP/s", false);
	figure("time", 1, reap_forecast_seconds(f, 1), "s", false);
	figure("memory", 0, (double)f->memory, "bytes", false);
	figure("chunk", 0, (double)f->chunk, "tokens", false);
	figure("chunks", 0, (double)w->chunks, "chunks", false);
	figure("weights", 0, (double)f->weights * (double)w->chunks, "bytes", false);
	figure("disk", 0, (double)bytes, "bytes", false);
	for (size_t i = 0; i < sizeof(shards) / sizeof(*shards); i++) {
		char name[32];

		snprintf(name, sizeof(name), "time_of_%u", shards[i]);
		figure(name, 1, reap_forecast_seconds(f, shards[i]), "s", false);
		snprintf(name, sizeof(name), "disk_of_%u", shards[i]);
		figure(name, 0, (double)(bytes / shards[i]), "bytes", false);
	}
	if (tool.json)
		puts("}");
	return tool_close_stdout(e);
}

/* ---- progress ---- */

static struct {
	struct reap_progress base;
	const char *what, *unit;
	double begun, last;  /* seconds; last: when a line was printed */
	bool terminal, open; /* open: an unfinished line is on the terminal */
} progress;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void tick(struct reap_progress *p, uint64_t done, uint64_t total)
{
	double t = now(), rate;

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
	progress.begun = progress.last = now();
	return &progress.base;
}

void tool_progress_end(void)
{
	if (progress.open)
		fputc('\n', stderr);
	progress.open = false;
}

/* ---- weights that vanish ---- */

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
	const char *const part[] = {progress.open ? "\n" : "", tool.name, ": ", path,
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

int tool_close_stdout(struct reap_err *e)
{
	return reap_print_close(stdout) != 0 ? reap_fail_errno(e, "standard output") : REAP_OK;
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

void tool_resume_close(struct tool_resume *r)
{
	reap_reader_close(r->reader);
	if (r->fd > STDIN_FILENO)
		close(r->fd);
}
