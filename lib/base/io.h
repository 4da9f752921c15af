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

/* Error unless the file still holds these bytes, which were read from it before. */
REAP_MUST_CHECK int reap_check_file(const char *path, const char *buf, size_t len,
	struct reap_err *e);

/* Read exactly n bytes from `offset` on; fewer there is an error.  Messages call the file
 * `path`. */
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
 * the caller frees.  A larger file is an error that names both sizes; so is what
 * lib/base/download.h recognises. */
REAP_MUST_CHECK int reap_read_file(const char *path, size_t max, char **buf, size_t *len,
	struct reap_err *e);

/* Make a new directory.  Six random characters replace the XXXXXX at the end of `path`: process
 * numbers would repeat in containers that share a folder.  The permissions are those that the
 * umask leaves, as with mkdir(2). */
REAP_MUST_CHECK int reap_temp_dir(char *path, struct reap_err *e);

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

/* A path as it stands in what people publish.  Of an absolute path, which would tell of the
 * machine, that is its last component; any other path stands as it is. */
const char *reap_path_shown(const char *path);

/* The names in a directory, sorted, without hidden ones; free them with reap_list_free in any
 * case. */
REAP_MUST_CHECK int reap_list_dir(const char *dir, char ***name, size_t *n, struct reap_err *e);
void reap_list_free(char **name, size_t n);

/* Open a stdio stream on a copy of fd (NULL and errno: not possible), and close it (-1 and errno:
 * not all that was printed has arrived).  This is not open_memstream: when glibc's finds no
 * memory, it silently leaves text out. */
FILE *reap_print_open(int fd);
int reap_print_close(FILE *f);

/* Whether there is a folder of that name; "-", standard input, is none. */
bool reap_is_folder(const char *path);

/* dir + "/" + name in a new string, NULL when out of memory. */
char *reap_path_join(const char *dir, const char *name);

#endif
