/* SPDX-License-Identifier: MIT */
#include "cmd/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hub.h"
#include "lib/base/io.h"
#include "lib/base/means.h"
#include "lib/base/mem.h"
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
	/* It may be inherited as ignored: then no child could be waited for. */
	signal(SIGCHLD, SIG_DFL);
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
	char text[8192]; /* two names of files fit */

	tool_progress_end();
	vsnprintf(text, sizeof(text), fmt, ap);
	reap_one_line(text);
	fprintf(stderr, "%s: %s\n", tool.name, text);
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
	int rc = reap_hub_find(name, &dir, &e);

	if (rc == REAP_OK && !reap_is_folder(dir) && access(dir, F_OK) == 0)
		rc = reap_fail(&e, REAP_EFAIL, "%s: not a directory", dir);
	claim(rc, &e);
	claim(reap_claim_read_dir(&tool.claims, dir, &e), &e);
	n = (n + 1) % (sizeof(named) / sizeof(named[0]));
	free(named[n]); /* of a model that was done with long ago */
	return tool.model = named[n] = dir;
}

void tool_doubt(const char *file, const struct reap_model_id *of, const struct reap_model_id *model)
{
	if (reap_model_id_doubtful(of, model))
		tool_warn(
			"%s: has no digest of its model, which it calls %s, but the checkpoint is %s: "
			"only their shapes were compared",
			file, of->id[0] != '\0' ? of->id : "nothing", model->id);
}

int tool_open_model(struct reap_model **m, const char *dir, struct reap_err *e)
{
	const char *other = reap_model_overridden(dir);

	if (other != NULL)
		tool_warn(
			"%s/%s: transformers with peft would load the model that this file names, "
			"not these weights",
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
	case TOOL_DEVICE:
		tool.device = optarg;
		return;
	case TOOL_DEVICE_MEMORY:
		tool.device_memory = tool_size("--device-memory", optarg);
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
	memcpy(tool.forgotten[1], tool.forgotten[0], sizeof(tool.forgotten[1]));
	tool.forgotten[0][0] = tool.argv[optind - 1];
	tool.forgotten[0][1] = optarg == tool.argv[optind - 1] ? tool.argv[optind - 2] : NULL;
}

static bool is_forgotten(const char *word)
{
	for (int i = 0; i < 2; i++)
		if (word == tool.forgotten[i][0] || word == tool.forgotten[i][1])
			return true;
	return false;
}

/* Add the command line, without the forgotten words, to the history. */
static int add_history(struct reap_header *h, struct reap_err *e)
{
	char **argv = reap_alloc((size_t)tool.argc, sizeof(*argv));
	int argc = 0, rc;

	if (argv == NULL)
		return reap_fail_memory(e, "the command line");
	for (int i = 0; i < tool.argc; i++)
		if (!is_forgotten(tool.argv[i]))
			argv[argc++] = tool.argv[i];
	rc = reap_header_add_history(h, tool.name, REAP_VERSION, argc, argv, e);
	free(argv);
	return rc;
}

/* ---- signals ---- */

static volatile sig_atomic_t caught;
static int pipe_flags[3] = {-1, -1, -1}; /* of standard output and error that are pipes */

/* The signal wakes a thread that writes into a pipe that nobody empties.  The flag keeps it from
 * waiting again, and makes a write that is yet to come fail, too. */
static void on_signal(int sig)
{
	const int saved = errno;

	caught = sig;
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (pipe_flags[fd] >= 0)
			fcntl(fd, F_SETFL, pipe_flags[fd] | O_NONBLOCK);
	errno = saved;
}

/* Put the flags back: other processes may write into the same pipes. */
static void restore_pipes(void)
{
	for (int fd = STDOUT_FILENO; caught != 0 && fd <= STDERR_FILENO; fd++)
		if (pipe_flags[fd] >= 0)
			fcntl(fd, F_SETFL, pipe_flags[fd]);
}

static bool is_among(int sig, const int *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == sig)
			return true;
	return false;
}

const volatile sig_atomic_t *tool_catch_signals(void)
{
	/* All signals end a process by default, but for those that are ignored or stop it.  Those
	 * that tell of its own faults are left alone. */
	static const int others[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN,
		SIGTTOU, SIGKILL, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
	struct sigaction a = {.sa_handler = on_signal}, old;
	struct stat st;

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
			pipe_flags[fd] = fcntl(fd, F_GETFL);
	atexit(restore_pipes);
	sigemptyset(&a.sa_mask);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (!is_among(sig, others, sizeof(others) / sizeof(*others)) &&
			sigaction(sig, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(sig, &a, NULL);
	return &caught;
}

int tool_report(const struct reap_err *e)
{
	tool_progress_end();
	/* A consumer that left early is no error to speak of. */
	if (e->text[0] != '\0' && caught != SIGPIPE)
		fprintf(stderr, "%s: %s\n", tool.name, e->text);
	if (caught != 0) {
		restore_pipes();
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

void tool_reads_found(const char *path)
{
	struct reap_err e = {0};

	claim(reap_claim_read_found(&tool.claims, path, &e), &e);
}

void tool_reads_tokenizer(const char *name)
{
	if (reap_is_folder(name) || access(name, F_OK) != 0)
		(void)tool_model(name);
	else
		tool_reads(name);
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

void tool_input_close(int fd)
{
	if (fd > STDIN_FILENO)
		close(fd);
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

int tool_close_stdout(struct reap_err *e)
{
	return reap_print_close(stdout) != 0 ? reap_fail_errno(e, "standard output") : REAP_OK;
}
