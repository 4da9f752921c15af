/* SPDX-License-Identifier: MIT
 *
 * Files and descriptors: full reads and writes, whole small files, and files
 * that appear whole or not at all.
 */
#ifndef REAP_IO_H
#define REAP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "lib/base/err.h"

/* Read up to n bytes, retrying after EINTR and short reads; fewer than n means
 * end of file, -1 an error (errno set). */
ssize_t reap_read_full(int fd, void *buf, size_t n);

/* Error unless the file holds these bytes, as it did when they were read. */
REAP_MUST_CHECK int reap_check_file(const char *path, const char *buf, size_t len,
	struct reap_err *e);

/* Read exactly n bytes from `offset` on of a file that is called `path` in
 * messages; fewer there is an error. */
REAP_MUST_CHECK int reap_read_at(int fd, const char *path, void *buf, size_t n, uint64_t offset,
	struct reap_err *e);

/* What tells that a file was written to, or that another one took its place. */
struct reap_stamp {
	uint64_t bytes;
	struct timespec written; /* st_mtim */
	struct timespec touched; /* st_ctim */
	uint64_t device, inode;
};

enum reap_change {
	REAP_UNCHANGED,
	REAP_SUSPECT, /* size and time of writing agree, the rest does not: a renamed or linked
			 file, one with new permissions, a file system that makes up inode
			 numbers (FUSE); or another file that was given the same time */
	REAP_CHANGED
};

struct reap_stamp reap_stamp(const struct stat *st);
enum reap_change reap_stamp_compare(const struct reap_stamp *then, const struct stat *now);

/* Write all n bytes, retrying after EINTR and short writes; -1 on error. */
int reap_write_full(int fd, const void *buf, size_t n);

/* Read a whole file of at most `max` bytes into a NUL-terminated buffer that
 * the caller frees.  A larger file is an error that names both sizes; what
 * lib/base/download.h knows is one, too. */
REAP_MUST_CHECK int reap_read_file(const char *path, size_t max, char **buf, size_t *len,
	struct reap_err *e);

/* A new directory or file, open for writing, under `path` with six random characters for
 * the XXXXXX at its end: process numbers repeat in containers that share a folder.  With
 * the permissions that the umask leaves, as mkdir(2) and open(2) give. */
REAP_MUST_CHECK int reap_temp_dir(char *path, struct reap_err *e);
REAP_MUST_CHECK int reap_temp_file(char *path, int *fd, struct reap_err *e);

/* A descriptor of an empty file without a name, in $TMPDIR or /tmp, that vanishes when it
 * is closed. */
REAP_MUST_CHECK int reap_temp_unnamed(int *fd, struct reap_err *e);

/* A file that appears under its name only when it is complete: written beside
 * it under a temporary name, synced, renamed.  Abort (NULL allowed) removes it. */
struct reap_atomic_file {
	int fd; /* write here */
	char *path, *tmp;
};
REAP_MUST_CHECK int reap_atomic_open(struct reap_atomic_file *f, const char *path,
	struct reap_err *e);
REAP_MUST_CHECK int reap_atomic_commit(struct reap_atomic_file *f, struct reap_err *e);
void reap_atomic_abort(struct reap_atomic_file *f);

/* Write a whole small file atomically. */
REAP_MUST_CHECK int reap_write_file(const char *path, const void *buf, size_t len,
	struct reap_err *e);

/* How a path stands in what people publish: an absolute one, which tells of the machine
 * it was on, by its last component, any other as it is. */
const char *reap_path_shown(const char *path);

/* The names in a directory but hidden ones, sorted; free with reap_list_free in any
 * case. */
REAP_MUST_CHECK int reap_list_dir(const char *dir, char ***name, size_t *n, struct reap_err *e);
void reap_list_free(char **name, size_t n);

/* A stdio stream on a copy of fd: NULL with errno set; and its end: -1 with errno set
 * when not all that was printed has arrived.  (Not open_memstream: where glibc's finds no
 * memory it leaves text out, in silence.) */
FILE *reap_print_open(int fd);
int reap_print_close(FILE *f);

/* Whether there is a folder of that name; "-", standard input, is none. */
bool reap_is_folder(const char *path);

/* dir + "/" + name in a new string, NULL when out of memory. */
char *reap_path_join(const char *dir, const char *name);

#endif
