/* SPDX-License-Identifier: MIT */
#include "lib/base/means.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/thread.h"

enum {
	LIST_MAX = 4 << 20, /* bytes of /proc/self/mountinfo: machines have thousands of mounts */
	VALUE_MAX = 4096,
	PATH_BYTES = 4096,
};

/* A mounted hierarchy of control groups, and where in it the process is. */
struct group {
	const char *root;  /* the mount's own root in the hierarchy */
	const char *mount; /* where it is mounted */
	const char *path;  /* of the process, from the hierarchy's root or the namespace's */
};

static bool read_text(const char *root, const char *path, size_t max, char **text)
{
	char full[PATH_BYTES];
	struct reap_err ignored = {0};
	size_t len;

	return (size_t)snprintf(full, sizeof(full), "%s%s", root, path) < sizeof(full) &&
		reap_read_file(full, max, text, &len, &ignored) == REAP_OK;
}

/* A whole count, at the start of a line or after a blank; UINT64_MAX for none (max, -1). */
static uint64_t count(const char *text)
{
	unsigned long long v;
	char *end;

	text += strspn(text, " ");
	if (*text < '0' || *text > '9')
		return UINT64_MAX;
	errno = 0;
	v = strtoull(text, &end, 10);
	return errno == ERANGE ? UINT64_MAX : v;
}

static uint64_t count_in(const char *root, const char *dir, const char *name)
{
	char path[PATH_BYTES], *text;
	uint64_t v = UINT64_MAX;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) < sizeof(path) &&
		read_text(root, path, VALUE_MAX, &text)) {
		v = count(text);
		free(text);
	}
	return v;
}

static void bound_memory(struct reap_means *l, const char *root, const char *dir, const char *name)
{
	uint64_t v = count_in(root, dir, name);

	if (v < l->memory) {
		l->memory = v;
		snprintf(l->memory_by, sizeof(l->memory_by), "%s/%s", dir, name);
	}
}

static void bound_cpus(struct reap_means *l, uint64_t quota, uint64_t period, const char *dir,
	const char *name)
{
	uint64_t n;

	if (quota == UINT64_MAX || period == UINT64_MAX || period == 0)
		return;
	n = quota / period + (quota % period != 0);
	if (n < (uint64_t)l->cpus) {
		l->cpus = n > 0 ? (int)n : 1;
		snprintf(l->cpus_by, sizeof(l->cpus_by), "%s/%s", dir, name);
	}
}

static void bounds_v1(struct reap_means *l, const char *root, const char *dir)
{
	bound_memory(l, root, dir, "memory.limit_in_bytes");
	bound_cpus(l, count_in(root, dir, "cpu.cfs_quota_us"),
		count_in(root, dir, "cpu.cfs_period_us"), dir, "cpu.cfs_quota_us");
}

/* Over memory.high a group is slowed down until it hardly moves. */
static void bounds_v2(struct reap_means *l, const char *root, const char *dir)
{
	char path[PATH_BYTES], *text;

	bound_memory(l, root, dir, "memory.max");
	bound_memory(l, root, dir, "memory.high");
	if ((size_t)snprintf(path, sizeof(path), "%s/cpu.max", dir) < sizeof(path) &&
		read_text(root, path, VALUE_MAX, &text)) { /* "max 100000", "150000 100000" */
		const char *period = strchr(text, ' ');

		bound_cpus(l, count(text), period != NULL ? count(period) : UINT64_MAX, dir,
			"cpu.max");
		free(text);
	}
}

/* Apply `bounds` to the group of the process and to all above it, up to the mount's root. */
static void walk_up(struct reap_means *l, const char *root, const struct group *g,
	void (*bounds)(struct reap_means *, const char *root, const char *dir))
{
	size_t n = strcmp(g->root, "/") == 0 ? 0 : strlen(g->root), top = strlen(g->mount);
	const char *below = g->path + n;
	char dir[PATH_BYTES];

	/* A mount that does not show the process's group, or a path that was seen from
	 * another namespace: take the mount's root. */
	if (strncmp(g->path, g->root, n) != 0 || (*below != '/' && *below != '\0') ||
		strstr(g->path, "/..") != NULL)
		below = "";
	if ((size_t)snprintf(dir, sizeof(dir), "%s%s", g->mount, below) >= sizeof(dir))
		return;
	for (;;) {
		size_t end = strlen(dir);

		while (end > top && dir[end - 1] == '/')
			dir[--end] = '\0';
		bounds(l, root, dir);
		if (end <= top)
			return;
		while (end > top && dir[end - 1] != '/')
			end--;
		dir[end] = '\0';
	}
}

/* Is `word` one of the words of a comma-separated list of n bytes? */
static bool listed(const char *list, size_t n, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i + len <= n; i += strcspn(list + i, ",") + 1)
		if (strncmp(list + i, word, len) == 0 && (i + len == n || list[i + len] == ','))
			return true;
	return false;
}

/* Where the process is in the hierarchy of a controller of version 1, or ("") in that
 * of version 2.  Lines read "number:controllers:path".  The path is to be freed. */
static char *own_path(const char *groups, const char *controller)
{
	for (const char *line = groups; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		const char *list = memchr(line, ':', len), *path;

		if (list == NULL)
			return NULL;
		list++;
		path = memchr(list, ':', len - (size_t)(list - line));
		if (path == NULL)
			return NULL;
		if (*controller == '\0' ? path == list
					: listed(list, (size_t)(path - list), controller))
			return strndup(path + 1, len - (size_t)(path + 1 - line));
		line += len + (line[len] == '\n');
	}
	return NULL;
}

/* Blanks and backslashes in a path of mountinfo stand as \040 and the like. */
static void unescape(char *s)
{
	char *to = s;

	while (*s != '\0') {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
			s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* One line of mountinfo (proc(5)): "id parent device root mount options [tags] - type
 * source options".  It is cut up. */
static void mounted(struct reap_means *l, const char *root, char *line, const char *groups)
{
	static const char *const controllers[] = {"cpu", "memory"};
	char *word[5], *save, *type, *options;
	struct group g;

	type = strstr(line, " - ");
	if (type == NULL)
		return;
	*type = '\0';
	type = strtok_r(type + 3, " ", &save);
	if (type == NULL || strncmp(type, "cgroup", 6) != 0)
		return;
	strtok_r(NULL, " ", &save);
	options = strtok_r(NULL, " ", &save);
	for (int i = 0; i < 5; i++)
		if ((word[i] = strtok_r(i == 0 ? line : NULL, " ", &save)) == NULL)
			return;
	unescape(word[3]);
	unescape(word[4]);
	g = (struct group){.root = word[3], .mount = word[4]};
	if (strcmp(type, "cgroup2") == 0) {
		char *path = own_path(groups, "");

		g.path = path;
		if (path != NULL)
			walk_up(l, root, &g, bounds_v2);
		free(path);
		return;
	}
	for (size_t i = 0; i < sizeof(controllers) / sizeof(*controllers); i++) {
		char *path;

		if (options == NULL || !listed(options, strlen(options), controllers[i]))
			continue;
		g.path = path = own_path(groups, controllers[i]);
		if (path != NULL)
			walk_up(l, root, &g, bounds_v1);
		free(path);
	}
}

void reap_means_of_groups(struct reap_means *l, const char *root)
{
	char *groups = NULL, *mounts = NULL, *save;

	if (read_text(root, "/proc/self/cgroup", LIST_MAX, &groups) &&
		read_text(root, "/proc/self/mountinfo", LIST_MAX, &mounts))
		for (char *line = strtok_r(mounts, "\n", &save); line != NULL;
			line = strtok_r(NULL, "\n", &save))
			mounted(l, root, line, groups);
	free(groups);
	free(mounts);
}

void reap_means(struct reap_means *l)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	*l = (struct reap_means){.cpus = reap_cpu_count(),
		.memory = UINT64_MAX,
		.cpus_by = "affinity",
		.memory_by = "RAM"};
	if (pages > 0 && size > 0)
		l->memory = (uint64_t)pages * (uint64_t)size;
	reap_means_of_groups(l, "");
}
