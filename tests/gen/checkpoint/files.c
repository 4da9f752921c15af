/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/model/layout.h"
#include "tests/gen/checkpoint/checkpoint.h"

static void write_config(const char *dir, const struct shape *s)
{
	char *path = reap_path_join(dir, "config.json");
	FILE *f = path != NULL ? fopen(path, "w") : NULL;

	if (f == NULL)
		die(dir, strerror(errno));
	s->arch->write_config(f, s);
	if (fclose(f) != 0)
		die(path, strerror(errno));
	free(path);
}

/* The first weights of a tensor, and of each expert of one that holds experts. */
static void write_first(int fd, const struct spec *s, const struct reap_tensor *t,
	const struct job *j)
{
	enum { SOME = 64 };
	const uint64_t rows = t->ndim >= 3 ? t->shape[0] : 1, each = t->bytes / rows;

	for (uint64_t i = 0; i < rows; i++) {
		if (lseek(fd, (off_t)(t->offset + i * each), SEEK_SET) < 0)
			die(s->name, strerror(errno));
		write_values(fd, s, each < SOME ? each : SOME, j);
	}
}

static void write_shards(const char *dir, const struct job *j, const struct reap_layout *l)
{
	for (uint32_t i = 0; i < l->files; i++) {
		const struct reap_layout_file *f = &l->file[i];
		char *path = reap_path_join(dir, f->name), *header;
		int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
		struct reap_err e = {0};

		if (reap_layout_header(l, f, &header, &e) != REAP_OK)
			die(f->name, e.text);
		if (fd < 0 || reap_write_full(fd, header, f->header_len) != 0)
			die(f->name, strerror(errno));
		free(header);
		if (j->s.sparse && ftruncate(fd, (off_t)f->bytes) != 0)
			die(f->name, strerror(errno));
		for (size_t k = f->first; k < f->first + f->tensors; k++)
			if (j->s.sparse)
				write_first(fd, &j->spec[k], &l->tensor[k], j);
			else
				write_values(fd, &j->spec[k], l->tensor[k].bytes, j);
		if (close(fd) != 0)
			die(path, strerror(errno));
		free(path);
	}
}

/* The least limit with which the greedy rule needs no more than `shards`. */
static void lay_out(struct job *j, struct reap_layout *l)
{
	struct reap_err e = {0};
	uint64_t lo = 0, hi = 0;

	for (size_t i = 0; i < j->n; i++)
		hi += j->tensor[i].bytes;
	while (lo + 1 < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		bool fits;

		if (reap_layout_make(l, j->tensor, j->n, NULL, mid, &e) != REAP_OK)
			die("layout", e.text);
		fits = l->files <= j->s.shards;
		reap_layout_free(l);
		*(fits ? &hi : &lo) = mid;
	}
	if (reap_layout_make(l, j->tensor, j->n, NULL, hi, &e) != REAP_OK)
		die("layout", e.text);
}

void write_checkpoint(const char *dir, struct job *j)
{
	struct reap_layout l;
	char *text, *path = reap_path_join(dir, "model.safetensors.index.json");
	struct reap_err e = {0};
	size_t len;

	list_tensors(j);
	lay_out(j, &l);
	if (path == NULL || (mkdir(dir, 0777) != 0 && errno != EEXIST))
		die(dir, strerror(errno));
	write_shards(dir, j, &l);
	if (l.files > 1) {
		if (reap_layout_index(&l, &text, &len, &e) != REAP_OK ||
			reap_write_file(path, text, len, &e) != REAP_OK)
			die(dir, e.text);
		free(text);
	}
	write_config(dir, &j->s);
	free(path);
	reap_layout_free(&l);
}
