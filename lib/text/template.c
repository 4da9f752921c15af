/* SPDX-License-Identifier: MIT */
#include "lib/text/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/child.h"
#include "lib/base/embedded.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"

enum { NO_MODULE = 97, CHUNK = 1 << 16, MAX_ANSWER = 1 << 30 };

struct reap_template {
	char *dir, *date;
	int fd; /* to and from the process; -1: not started */
	struct reap_child child;
	char *buf; /* what it answered: n bytes */
	size_t n, cap;
	uint64_t rewritten;
	bool marks;
};

int reap_template_open(struct reap_template **out, const char *dir, const char *date,
	struct reap_err *e)
{
	struct reap_template *t = *out = reap_calloc(1, sizeof(*t));

	if (t == NULL)
		return reap_fail_memory(e, dir);
	t->fd = -1;
	t->dir = strdup(dir);
	t->date = date != NULL ? strdup(date) : NULL;
	if (t->dir == NULL || (date != NULL && t->date == NULL))
		return reap_fail_memory(e, dir);
	return REAP_OK;
}

void reap_template_close(struct reap_template *t)
{
	if (t == NULL)
		return;
	if (t->fd >= 0)
		close(t->fd);
	reap_child_stop(&t->child);
	free(t->buf);
	free(t->dir);
	free(t->date);
	free(t);
}

uint64_t reap_template_rewritten(const struct reap_template *t)
{
	return t->rewritten;
}

bool reap_template_marks(const struct reap_template *t)
{
	return t->marks;
}

static int no_reader(const struct reap_template *t, struct reap_err *e)
{
	return reap_fail(e, REAP_EFAIL,
		"%s: its chat template needs python3 with jinja2: apt-get install python3-jinja2",
		t->dir);
}

static int start(struct reap_template *t, struct reap_err *e)
{
	char parent[24];
	const char *argv[] = {"python3", "-c", reap_template_py, parent, t->dir, t->date, NULL};
	int ends[2], why;

	snprintf(parent, sizeof(parent), "%ld", (long)getpid());
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		return reap_fail_errno(e, "%s: chat template", t->dir);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	fcntl(ends[1], F_SETFD, FD_CLOEXEC);
	why = reap_child_start(&t->child, argv, ends[1], ends[1]);
	close(ends[1]);
	t->fd = ends[0];
	if (why == 0)
		return REAP_OK;
	if (why == ENOENT)
		return no_reader(t, e);
	errno = why;
	return reap_fail_errno(e, "%s: cannot start its chat template", t->dir);
}

static int ended(struct reap_template *t, struct reap_err *e)
{
	char said[300];
	int status = 0;

	/* It may wait for another row. */
	shutdown(t->fd, SHUT_RDWR);
	if (reap_child_end(&t->child, &status, said, sizeof(said)) != 0)
		return reap_fail_errno(e, "%s: its chat template", t->dir);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_MODULE)
		return no_reader(t, e);
	if (said[0] != '\0')
		return reap_fail(e, REAP_EFAIL, "%s: its chat template cannot be run: %s", t->dir,
			said);
	return reap_fail(e, REAP_EFAIL, "%s: its chat template cannot be run (status %d)", t->dir,
		status);
}

/* The process must not answer any more: its next answer would be taken for the answer to another
 * row. */
static int broken(struct reap_template *t, struct reap_err *e)
{
	const int rc = reap_fail_errno(e, "%s: its chat template", t->dir);

	reap_child_stop(&t->child);
	return rc;
}

static int send_line(struct reap_template *t, const char *line, struct reap_err *e)
{
	const size_t n = strlen(line) + 1;

	for (size_t at = 0; at < n;) {
		/* The newline stands for the NUL. */
		const char *from = at < n - 1 ? line + at : "\n";
		ssize_t m = send(t->fd, from, at < n - 1 ? n - 1 - at : 1, MSG_NOSIGNAL);

		if (m < 0 && errno == EINTR)
			continue;
		if (m < 0 && errno != EPIPE && errno != ECONNRESET)
			return broken(t, e);
		if (m < 0)
			return ended(t, e);
		at += (size_t)m;
	}
	return REAP_OK;
}

static int read_line(struct reap_template *t, struct reap_err *e)
{
	for (t->n = 0; t->n == 0 || t->buf[t->n - 1] != '\n';) {
		ssize_t m;

		if (t->n > MAX_ANSWER || !reap_grow(&t->buf, &t->cap, t->n + CHUNK, 1)) {
			reap_child_stop(&t->child);
			return reap_fail_memory(e, t->dir);
		}
		m = read(t->fd, t->buf + t->n, t->cap - t->n);
		if (m < 0 && errno == EINTR)
			continue;
		if (m < 0 && errno != ECONNRESET)
			return broken(t, e);
		if (m <= 0)
			return ended(t, e);
		t->n += (size_t)m;
	}
	return REAP_OK;
}

static int put_spans(const json_t *spans, struct reap_transcript *out, struct reap_err *e)
{
	const json_t *span;
	size_t i;

	json_array_foreach (spans, i, span) {
		json_int_t begin = json_integer_value(json_array_get(span, 0)),
			   end = json_integer_value(json_array_get(span, 1));

		if (begin < 0 || begin > end || (size_t)end > out->len)
			return reap_fail(e, REAP_EFAIL, "its chat template answers with no spans");
		if (!reap_grow(&out->spans.span, &out->spans.cap, out->spans.n + 1,
			    sizeof(*out->spans.span)))
			return reap_fail_memory(e, "a conversation");
		out->spans.span[out->spans.n++] =
			(struct reap_span){(size_t)begin, (size_t)end, REAP_CHANNEL_FINAL};
	}
	return REAP_OK;
}

static int take_answer(struct reap_template *t, const json_t *answer, struct reap_transcript *out,
	struct reap_err *e)
{
	const json_t *text = json_object_get(answer, "text"),
		     *error = json_object_get(answer, "error");

	if (json_is_string(error))
		return reap_fail(e, REAP_EFAIL, "chat template: %.300s", json_string_value(error));
	if (!json_is_string(text))
		return reap_fail(e, REAP_EFAIL, "%s: its chat template answers with no text",
			t->dir);
	if (!reap_grow(&out->text, &out->cap, json_string_length(text) + 1, 1))
		return reap_fail_memory(e, "a conversation");
	out->len = json_string_length(text);
	memcpy(out->text, json_string_value(text), out->len);
	out->n_parts = out->spans.n = 0;
	t->rewritten += (uint64_t)json_integer_value(json_object_get(answer, "rewritten"));
	t->marks = t->marks || json_is_true(json_object_get(answer, "marked"));
	return put_spans(json_object_get(answer, "spans"), out, e);
}

int reap_template_render(struct reap_template *t, const json_t *messages, const json_t *tools,
	struct reap_transcript *out, struct reap_err *e)
{
	json_t *row = json_pack("{s:O,s:o}", "messages", messages, "tools",
		tools != NULL ? json_incref((json_t *)(uintptr_t)tools) : json_null());
	char *line = row != NULL ? reap_json_write(row, JSON_COMPACT) : NULL;
	json_t *answer = NULL;
	int rc = line != NULL ? REAP_OK : reap_fail_memory(e, "a conversation");

	if (rc == REAP_OK && t->fd < 0)
		rc = start(t, e);
	else if (rc == REAP_OK && t->child.pid == 0)
		rc = reap_fail(e, REAP_EFAIL, "%s: its chat template cannot be run", t->dir);
	if (rc == REAP_OK && (rc = send_line(t, line, e)) == REAP_OK &&
		(rc = read_line(t, e)) == REAP_OK) {
		answer = reap_json_read(t->buf, t->n, JSON_ALLOW_NUL, NULL);
		rc = take_answer(t, answer, out, e);
	}
	json_decref(answer);
	json_decref(row);
	free(line);
	return rc;
}
