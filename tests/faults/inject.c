/* SPDX-License-Identifier: MIT
 *
 * Preloaded (LD_PRELOAD) into a tool: one of its calls of memory, files or threads
 * fails.
 *
 *   FAULT=CLASS:N:MODE  the N-th call of the class, from 1; see `classes`
 *     once              that call fails
 *     on                and so does every later one
 *     short, eintr      (read, write) it does half of what was asked; it is interrupted
 *   FAULT_LOG=FILE      without FAULT: no call fails, and every one is a line: its class,
 *                       number and function, and a hash of the calls that led to it
 *
 * Calls count from main on, if the tool itself makes them, or one of the libraries to which it
 * gives its own data: see `counted`.
 *
 * stdio has no system call of its own to fail: the file's descriptor becomes one that
 * cannot be written (/dev/full) or read, so all later calls fail, too.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum class { ALLOC, MAP, THREAD, OPEN, READ, LIST, WRITE, SYNC, NAME, REMOVE, STAT, CLASSES };

static const struct {
	const char *name;
	int error;
} classes[] = {
	[ALLOC] = {"alloc", ENOMEM},
	[MAP] = {"map", ENOMEM},
	[THREAD] = {"thread", EAGAIN},
	[OPEN] = {"open", EMFILE},
	[READ] = {"read", EIO},
	[LIST] = {"list", EIO}, /* folders */
	[WRITE] = {"write", ENOSPC},
	[SYNC] = {"sync", EIO},    /* fsync and close */
	[NAME] = {"name", EACCES}, /* rename and mkdir */
	[REMOVE] = {"remove", EACCES},
	[STAT] = {"stat", EIO},
};

/* Calls of other libraries do not count: OpenBLAS and the runtime of Fortran end the process
 * themselves when they have no memory.  So does libcrypto (3.0) while it prepares itself, hence
 * prepare_crypto(); what it does after that counts. */
static const char *const counted[] = {"/libc.so", "/libmsgpack", "/libyaml", "/libjansson",
	"/libpcre2", "/libb2", "/libcrypto", "/libisal", "/libz"};

enum mode { ONCE, ON, SHORT, EINTR_ONCE };

enum { MODULES_MAX = 32, LOG_FD = 900, DEPTH = 64 };

static struct module {
	uintptr_t from, to;
} module[MODULES_MAX]; /* 0 is the program */
static int modules;

static atomic_bool armed;
static enum class class = CLASSES; /* none */
static enum mode mode;
static long nth;
static int log_fd = -1;
static atomic_long calls[CLASSES];
static __thread bool inside; /* in code of ours that may call what is wrapped */

static int module_of(uintptr_t at)
{
	for (int i = 0; i < modules; i++)
		if (at >= module[i].from && at < module[i].to)
			return i;
	return -1;
}

static int find_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	bool wanted = modules == 0; /* the program comes first */
	struct module m = {UINTPTR_MAX, 0};

	(void)size;
	(void)arg;
	for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++)
		wanted = wanted || strstr(info->dlpi_name, counted[i]) != NULL;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		m.from = at < m.from ? at : m.from;
		at += info->dlpi_phdr[i].p_memsz;
		m.to = at > m.to ? at : m.to;
	}
	if (wanted && modules < MODULES_MAX)
		module[modules++] = m;
	return 0;
}

/* A line of the log; the same in every run, wherever things lie. */
static void note(enum class c, long n, const char *function)
{
	void *at[DEPTH];
	char line[128];
	uint64_t h = 14695981039346656037u;
	int depth = backtrace(at, DEPTH);

	for (int i = 2; i < depth; i++) {
		int m = module_of((uintptr_t)at[i]);

		h ^= m < 0 ? 1 : (uint64_t)m << 48 | ((uintptr_t)at[i] - module[m].from);
		h *= 1099511628211u;
	}
	syscall(SYS_write, log_fd, line,
		(size_t)snprintf(line, sizeof(line), "%s %ld %s %016llx\n", classes[c].name, n,
			function, (unsigned long long)h));
}

/* Does this call fail?  errno is set then. */
static bool fails(enum class c, const char *function, void *caller)
{
	long n;
	bool now;

	if (inside || !atomic_load(&armed) || module_of((uintptr_t)caller) < 0)
		return false;
	n = atomic_fetch_add(&calls[c], 1) + 1;
	now = c == class && (n == nth || (n > nth && mode == ON));
	if (log_fd >= 0) {
		inside = true;
		note(c, n, function);
		inside = false;
	}
	if (now)
		errno = mode == EINTR_ONCE ? EINTR : classes[c].error;
	return now;
}

#define FAILS(class, function) fails(class, function, __builtin_return_address(0))
#define NEXT(function) \
	static __typeof__(function) *next; \
	if (next == NULL) \
	next = (__typeof__(function) *)dlsym(RTLD_NEXT, #function)

/* ---- memory: dlsym itself allocates, so glibc's own names ---- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

void *malloc(size_t n)
{
	return FAILS(ALLOC, "malloc") ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return FAILS(ALLOC, "calloc") ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return FAILS(ALLOC, "realloc") ? NULL : __libc_realloc(p, n);
}

int posix_memalign(void **p, size_t alignment, size_t n)
{
	if (FAILS(ALLOC, "posix_memalign"))
		return ENOMEM;
	*p = __libc_memalign(alignment, n);
	return *p != NULL ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t n)
{
	return FAILS(ALLOC, "aligned_alloc") ? NULL : __libc_memalign(alignment, n);
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off64_t offset)
{
	NEXT(mmap64);
	return FAILS(MAP, "mmap") ? MAP_FAILED : next(at, n, protection, flags, fd, offset);
}

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
	NEXT(pthread_create);
	return FAILS(THREAD, "pthread_create") ? EAGAIN : next(t, a, f, arg);
}

/* ---- files ---- */

#define WRAP(class, result, failed, function, parameters, arguments) \
	result function parameters \
	{ \
		NEXT(function); \
		return FAILS(class, #function) ? (failed) : next arguments; \
	}

int open64(const char *path, int flags, ...)
{
	va_list ap;
	int permissions;
	NEXT(open64);

	va_start(ap, flags);
	permissions = va_arg(ap, int);
	va_end(ap);
	return FAILS(OPEN, "open") ? -1 : next(path, flags, permissions);
}

WRAP(OPEN, DIR *, NULL, opendir, (const char *path), (path))
WRAP(OPEN, int, -1, mkstemp64, (char *path), (path))
WRAP(OPEN, int, -1, pipe, (int fd[2]), (fd))
WRAP(OPEN, FILE *, NULL, fdopen, (int fd, const char *m), (fd, m))

/* A transfer that is not whole is no failure. */
static size_t half(size_t n)
{
	return n > 1 ? n / 2 : n;
}

#define TRANSFER(class, function, parameters, whole, part) \
	ssize_t function parameters \
	{ \
		NEXT(function); \
		if (!FAILS(class, #function)) \
			return next whole; \
		return mode == SHORT ? next part : -1; \
	}

TRANSFER(READ, read, (int fd, void *p, size_t n), (fd, p, n), (fd, p, half(n)))
TRANSFER(READ, pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at),
	(fd, p, half(n), at))
TRANSFER(WRITE, write, (int fd, const void *p, size_t n), (fd, p, n), (fd, p, half(n)))
WRAP(LIST, struct dirent64 *, NULL, readdir64, (DIR * d), (d))
WRAP(READ, off64_t, -1, lseek64, (int fd, off64_t at, int whence), (fd, at, whence))

int close(int fd)
{
	NEXT(close);
	if (FAILS(SYNC, "close")) {
		int e = errno;

		next(fd); /* it is closed all the same, as in Linux */
		errno = e;
		return -1;
	}
	return next(fd);
}

WRAP(SYNC, int, -1, fsync, (int fd), (fd))
WRAP(NAME, int, -1, rename, (const char *from, const char *to), (from, to))
WRAP(NAME, int, -1, mkdir, (const char *path, mode_t m), (path, m))
WRAP(REMOVE, int, -1, unlink, (const char *path), (path))
WRAP(REMOVE, int, -1, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(REMOVE, int, -1, rmdir, (const char *path), (path))
WRAP(STAT, int, -1, fstat64, (int fd, struct stat64 *st), (fd, st))
WRAP(STAT, int, -1, stat64, (const char *path, struct stat64 *st), (path, st))
WRAP(STAT, int, -1, lstat64, (const char *path, struct stat64 *st), (path, st))
WRAP(STAT, int, -1, statvfs64, (const char *path, struct statvfs64 *st), (path, st))
WRAP(STAT, char *, NULL, realpath, (const char *path, char *to), (path, to))

/* ---- stdio ---- */

static void spoil(FILE *f, enum class c, const char *function, void *caller)
{
	int fd = fileno(f), bad;

	if (f == stderr || fd < 0 || !fails(c, function, caller))
		return;
	bad = (int)syscall(SYS_openat, AT_FDCWD, c == WRITE ? "/dev/full" : "/dev/null", O_WRONLY);
	syscall(SYS_dup2, bad, fd);
	syscall(SYS_close, bad);
}

#define STDIO(class, result, function, parameters, arguments, file) \
	result function parameters \
	{ \
		NEXT(function); \
		spoil(file, class, #function, __builtin_return_address(0)); \
		return next arguments; \
	}

STDIO(WRITE, size_t, fwrite, (const void *p, size_t n, size_t m, FILE *f), (p, n, m, f), f)
STDIO(WRITE, int, fputs, (const char *s, FILE *f), (s, f), f)
STDIO(WRITE, int, fputc, (int c, FILE *f), (c, f), f)
STDIO(WRITE, int, putc, (int c, FILE *f), (c, f), f)
STDIO(WRITE, int, puts, (const char *s), (s), stdout)
STDIO(WRITE, int, vfprintf, (FILE * f, const char *s, va_list ap), (f, s, ap), f)
STDIO(WRITE, int, fflush, (FILE * f), (f), f)
STDIO(WRITE, int, fclose, (FILE * f), (f), f)
STDIO(READ, size_t, fread, (void *p, size_t n, size_t m, FILE *f), (p, n, m, f), f)
STDIO(READ, ssize_t, getline, (char **line, size_t *n, FILE *f), (line, n, f), f)
STDIO(READ, int, fseek, (FILE * f, long at, int whence), (f, at, whence), f)

int printf(const char *s, ...)
{
	va_list ap;
	int n;

	spoil(stdout, WRITE, "printf", __builtin_return_address(0));
	va_start(ap, s);
	n = vprintf(s, ap);
	va_end(ap);
	return n;
}

int fprintf(FILE *f, const char *s, ...)
{
	va_list ap;
	int n;

	spoil(f, WRITE, "fprintf", __builtin_return_address(0));
	va_start(ap, s);
	inside = true;
	n = vfprintf(f, s, ap);
	inside = false;
	va_end(ap);
	return n;
}

/* ---- the beginning ---- */

static void prepare_crypto(void)
{
	void *(*new)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "EVP_MD_CTX_new");
	void (*drop)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "EVP_MD_CTX_free");
	const void *(*sha256)(void) = (const void *(*)(void))dlsym(RTLD_DEFAULT, "EVP_sha256");
	int (*init)(void *, const void *, void *) =
		(int (*)(void *, const void *, void *))dlsym(RTLD_DEFAULT, "EVP_DigestInit_ex");

	if (new != NULL) {
		void *c = new ();

		init(c, sha256(), NULL);
		drop(c);
	}
}

static int (*program)(int, char **, char **);

static int begin(int argc, char **argv, char **environment)
{
	const char *fault = getenv("FAULT"), *path = getenv("FAULT_LOG");
	char what[16] = "", how[16] = "once";
	void *unwind[2];

	if (strncmp(program_invocation_short_name, "reap-", 5) != 0) /* a script around a tool */
		return program(argc, argv, environment);
	if (fault != NULL || path != NULL) {
		if (fault != NULL && sscanf(fault, "%15[a-z]:%ld:%15[a-z]", what, &nth, how) != 3)
			_exit(125);
		for (int c = 0; c < CLASSES; c++)
			if (strcmp(classes[c].name, what) == 0)
				class = (enum class)c;
		mode = strcmp(how, "on") == 0       ? ON
			: strcmp(how, "short") == 0 ? SHORT
			: strcmp(how, "eintr") == 0 ? EINTR_ONCE
						    : ONCE;
		if (path != NULL) {
			int fd = (int)syscall(SYS_openat, AT_FDCWD, path,
				O_WRONLY | O_CREAT | O_APPEND, 0666);

			log_fd = fcntl(fd, F_DUPFD_CLOEXEC, LOG_FD);
			syscall(SYS_close, fd);
		}
		dl_iterate_phdr(find_module, NULL);
		backtrace(unwind, 2); /* loads what it needs */
		prepare_crypto();
		atomic_store(&armed, true);
	}
	/* Not for the programs that a tool starts. */
	unsetenv("LD_PRELOAD");
	unsetenv("FAULT");
	unsetenv("FAULT_LOG");
	return program(argc, argv, environment);
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
	int (*init)(int, char **, char **), void (*fini)(void), void (*rtld_fini)(void),
	void *stack);

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv,
	int (*init)(int, char **, char **), void (*fini)(void), void (*rtld_fini)(void),
	void *stack)
{
	NEXT(__libc_start_main);
	program = main;
	return next(begin, argc, argv, init, fini, rtld_fini, stack);
}
