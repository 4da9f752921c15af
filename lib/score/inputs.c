/* SPDX-License-Identifier: MIT */
#include "lib/score/inputs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/score/spool.h"

int reap_input_begin(const struct reap_input *in, int *fd, struct reap_err *e)
{
	if (in->fd < 0) {
		*fd = open(in->path, O_RDONLY | O_CLOEXEC);
		return *fd < 0 ? reap_fail_errno(e, "%s", in->name) : REAP_OK;
	}
	*fd = in->fd;
	if (in->start >= 0 && lseek(in->fd, in->start, SEEK_SET) < 0)
		return reap_fail_errno(e, "%s", in->name);
	return REAP_OK;
}

void reap_input_end(const struct reap_input *in, int fd)
{
	if (in->fd < 0 && fd >= 0)
		close(fd);
}

/* Find out about one name.  Regular files are opened again when they are read. */
static int open_input(struct reap_input *in, const char *path, bool twice, struct reap_err *e)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = STDIN_FILENO, rc = REAP_OK;
	struct stat st;

	*in = (struct reap_input){.name = is_stdin ? "standard input" : path,
		.path = path,
		.fd = -1,
		.start = -1};
	if (!is_stdin)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = reap_fail_errno(e, "%s", in->name);
	} else if (S_ISREG(st.st_mode)) {
		in->start = lseek(fd, 0, SEEK_CUR);
		in->bytes = (uint64_t)(st.st_size - in->start);
		if (is_stdin)
			in->fd = fd;
	} else if (!twice) {
		in->fd = fd;
		return REAP_OK;
	} else if ((rc = reap_spool_copy(fd, in->name, 0, &in->fd, e)) == REAP_OK) {
		in->start = 0;
		in->bytes = fstat(in->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	}
	if (!is_stdin && fd >= 0)
		close(fd);
	return rc;
}

int reap_inputs_open(struct reap_inputs *s, int n, char **path, bool twice, struct reap_err *e)
{
	int rc = REAP_OK;

	*s = (struct reap_inputs){0};
	s->in = reap_calloc(n > 0 ? (size_t)n : 1, sizeof(*s->in));
	if (s->in == NULL)
		return reap_fail_memory(e, "inputs");
	do {
		rc = open_input(&s->in[s->n], n > 0 ? path[s->n] : "-", twice, e);
		s->n++;
	} while (rc == REAP_OK && s->n < (size_t)n);
	return rc;
}

void reap_inputs_close(struct reap_inputs *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->in[i].fd > STDERR_FILENO)
			close(s->in[i].fd);
	free(s->in);
	reap_header_free(&s->head);
}

int reap_inputs_take_header(struct reap_inputs *s, struct reap_input *in,
	const struct reap_header *h, struct reap_err *e)
{
	int rc;

	if (!h->has_model)
		return reap_fail(e, REAP_ESTREAM, "%s: header: model: missing", in->name);
	if (h->has_recipe) {
		memcpy(in->recipe_name, h->recipe_name, sizeof(in->recipe_name));
		memcpy(in->recipe_digest, h->recipe_digest, sizeof(in->recipe_digest));
	}
	s->mixed = s->mixed || reap_backend_is_mixed(h->backend);
	if (!s->head.has_model) {
		strcpy(s->backend, h->backend);
		return reap_header_init(&s->head, REAP_KIND_SALIENCY, h, e);
	}
	if ((rc = reap_model_id_match(s->in[0].name, &s->head.model, in->name, &h->model, e)) !=
			REAP_OK ||
		(rc = reap_header_same_precision(in->name, h, s->in[0].name, &s->head, e)) !=
			REAP_OK)
		return rc;
	if (h->has_recipe != s->head.has_recipe ||
		strcmp(h->recipe_digest, s->head.recipe_digest) != 0)
		s->head.has_recipe = false;
	s->mixed = s->mixed || strcmp(h->backend, s->backend) != 0;
	return reap_header_join_history(&s->head, h, e);
}

int reap_inputs_same_recipe(const struct reap_input *a, const struct reap_input *b,
	struct reap_err *e)
{
	if (strcmp(a->recipe_digest, b->recipe_digest) == 0)
		return REAP_OK;
	return reap_fail(e, REAP_EFAIL, "%s: made by recipe %s %.16s, but %s by %s %.16s", a->name,
		a->recipe_name[0] != '\0' ? a->recipe_name : "(none)", a->recipe_digest, b->name,
		b->recipe_name[0] != '\0' ? b->recipe_name : "(none)", b->recipe_digest);
}
