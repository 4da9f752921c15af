/* SPDX-License-Identifier: MIT
 *
 * A checkpoint that changes while all of it is read.
 */
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/model/inspect.h"
#include "tests/unit/tap.h"

static const char source[] = "tests/fixtures/model";

struct visit {
	const char *dir;
	const char *victim; /* NULL: nothing happens */
	int files;
};

/* Put another file of the same size in a file's place.  It is made now, because a checkout may
 * give two shards one time. */
static int exchange(const char *dir, const char *name)
{
	char path[512];
	struct stat st;
	int fd, rc;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (stat(path, &st) != 0 || unlink(path) != 0 ||
		(fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600)) < 0)
		return -1;
	rc = ftruncate(fd, st.st_size);
	close(fd);
	return rc;
}

/* DIR/NAME becomes a link to FROM/NAME. */
static int link_to(const char *dir, const char *from, const char *name)
{
	char path[512], to[1024], here[512];

	if (getcwd(here, sizeof(here)) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(to, sizeof(to), "%s/%s/%s", here, from, name);
	unlink(path);
	return symlink(to, path);
}

/* At the first digest, when the values have been looked at, exchange another file. */
static int visit(void *arg, const char *name, const char *sha256, struct reap_err *e)
{
	struct visit *v = arg;

	(void)sha256;
	(void)e;
	if (v->files++ == 0 && v->victim != NULL && strcmp(name, v->victim) == 0)
		v->victim = "model-00001-of-00003.safetensors"; /* one that comes later */
	if (v->files == 1 && v->victim != NULL)
		ok(exchange(v->dir, v->victim) == 0, "exchanged");
	return REAP_OK;
}

int main(void)
{
	char dir[] = "/tmp/reap-inspect-XXXXXX", path[512];
	const char *victim = "model-00003-of-00003.safetensors";
	struct visit v = {dir, NULL, 0};
	const struct reap_inspect in = {&v, visit, NULL};
	struct reap_err e = {0};
	char **name;
	size_t n;

	if (mkdtemp(dir) == NULL || reap_list_dir(source, &name, &n, &e) != REAP_OK) {
		printf("Bail out! no model in %s\n", dir);
		return 1;
	}
	for (size_t i = 0; i < n; i++)
		ok(link_to(dir, source, name[i]) == 0, "%s", name[i]);
	ok(reap_inspect(dir, &in, &e) == REAP_OK && v.files == (int)n, "all is well");
	v = (struct visit){dir, victim, 0};
	e = (struct reap_err){0};
	ok(reap_inspect(dir, &in, &e) == REAP_EFAIL && strstr(e.text, v.victim) != NULL &&
			strstr(e.text, "was changed while it was read") != NULL,
		"a shard that was exchanged before its digest was made: %s", e.text);
	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		unlink(path);
	}
	rmdir(dir);
	reap_list_free(name, n);
	return tap_done();
}
