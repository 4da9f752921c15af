/* SPDX-License-Identifier: MIT */
#define _XOPEN_SOURCE 700 /* realpath */
#include "lib/base/hub.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"

static const char prefix[] = "models--";

/* `first` and the rest, put together as paths are; NULL when one is missing or out of
 * memory.  Takes `first`. */
static char *below(char *first, const char *name)
{
	char *path = first != NULL ? reap_path_join(first, name) : NULL;

	free(first);
	return path;
}

/* huggingface_hub puts the home for a leading ~, which a shell leaves alone within quotes. */
static char *from_environment(const char *name)
{
	const char *value = getenv(name), *home = getenv("HOME");

	if (value == NULL || value[0] == '\0')
		return NULL;
	if (strncmp(value, "~/", 2) == 0 && home != NULL && home[0] != '\0')
		return reap_path_join(home, value + 2);
	return strdup(value);
}

/* The cache, as huggingface_hub finds it; NULL without a home, or out of memory. */
static char *cache(void)
{
	char *dir = from_environment("HF_HUB_CACHE");

	if (dir == NULL)
		dir = from_environment("HUGGINGFACE_HUB_CACHE");
	if (dir != NULL)
		return dir;
	dir = from_environment("HF_HOME");
	if (dir == NULL && (dir = below(from_environment("XDG_CACHE_HOME"), "huggingface")) == NULL)
		dir = below(from_environment("HOME"), ".cache/huggingface");
	return below(dir, "hub");
}

/* The only snapshot of a model in the cache; NULL when there are none or several. */
static char *only_snapshot(const char *snapshots)
{
	struct reap_err ignored = {0};
	char **name = NULL, *path = NULL;
	size_t n = 0;

	if (reap_list_dir(snapshots, &name, &n, &ignored) == REAP_OK && n == 1)
		path = reap_path_join(snapshots, name[0]);
	reap_list_free(name, n);
	return path;
}

/* The snapshot of models--ORG--NAME that is to be used; *dir NULL: there is none. */
static int snapshot(const char *repo, char **dir, struct reap_err *e)
{
	enum { MAX_REF = 256 };
	char *main = reap_path_join(repo, "refs/main"),
	     *snapshots = reap_path_join(repo, "snapshots"), *ref = NULL;
	struct stat st;
	size_t n;
	int rc = REAP_OK;

	*dir = NULL;
	if (main == NULL || snapshots == NULL) {
		rc = reap_fail_memory(e, repo);
	} else if (stat(main, &st) == 0) {
		if (S_ISFIFO(st.st_mode))
			rc = reap_fail(e, REAP_EFAIL, "%s: not a regular file", main);
		else if ((rc = reap_read_file(main, MAX_REF, &ref, &n, e)) == REAP_OK) {
			ref[strcspn(ref, " \t\r\n/")] = '\0';
			*dir = reap_path_join(snapshots, ref);
			rc = *dir != NULL ? REAP_OK : reap_fail_memory(e, repo);
		}
		if (rc == REAP_OK && (ref[0] == '\0' || ref[0] == '.' || !reap_is_folder(*dir)))
			rc = reap_fail(e, REAP_EFAIL, "%s: names %.80s, which is not in %s", main,
				ref, snapshots);
	} else {
		*dir = only_snapshot(snapshots);
	}
	if (rc != REAP_OK) {
		free(*dir);
		*dir = NULL;
	}
	free(main);
	free(snapshots);
	free(ref);
	return rc;
}

/* Is it ORG/NAME, as repositories are called? */
static bool is_name(const char *s)
{
	const char *slash = strchr(s, '/');

	return slash != NULL && slash != s && s[0] != '.' && slash[1] != '\0' && slash[1] != '.' &&
		strchr(slash + 1, '/') == NULL;
}

/* CACHE/models--ORG--NAME */
static char *repository(const char *in, const char *name)
{
	const size_t org = strcspn(name, "/"), room = sizeof(prefix) + strlen(name) + 2;
	char *folder = reap_alloc(room, 1), *path = NULL;

	if (folder != NULL) {
		snprintf(folder, room, "%s%.*s--%s", prefix, (int)org, name, name + org + 1);
		path = reap_path_join(in, folder);
	}
	free(folder);
	return path;
}

/* A directory as it was named, or the snapshot in the folder of a cache. */
static int find_dir(const char *path, char **dir, struct reap_err *e)
{
	size_t n = strlen(path);
	const char *base;
	int rc;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (base = path + n; base > path && base[-1] != '/'; base--)
		;
	if (strncmp(base, prefix, sizeof(prefix) - 1) == 0 &&
		((rc = snapshot(path, dir, e)) != REAP_OK || *dir != NULL))
		return rc;
	*dir = strdup(path);
	return *dir != NULL ? REAP_OK : reap_fail_memory(e, path);
}

int reap_hub_find(const char *name, char **dir, struct reap_err *e)
{
	char *in, *repo;
	int rc;

	*dir = NULL;
	/* What cannot be the name of a repository is said to be missing when it is opened. */
	if (reap_is_folder(name) || !is_name(name))
		return find_dir(name, dir, e);
	in = cache();
	repo = in != NULL ? repository(in, name) : NULL;
	rc = repo != NULL && reap_is_folder(repo) ? snapshot(repo, dir, e) : REAP_OK;
	if (rc == REAP_OK && *dir == NULL)
		rc = reap_fail(e, REAP_EFAIL,
			"%s: no such directory, and no such model in the cache %s: hf download %s",
			name, in != NULL ? in : "of huggingface_hub", name);
	free(in);
	free(repo);
	return rc;
}

/* ORG/NAME of ".../models--ORG--NAME/snapshots/REVISION"; false when the path is not of that
 * form. */
static bool name_in_cache(const char *real, char *out, size_t size)
{
	static const char snapshots[] = "/snapshots/";
	const char *p = strstr(real, prefix), *end, *dashes;

	for (; p != NULL; p = strstr(p + 1, prefix)) {
		end = strchr(p, '/');
		if (p == real || p[-1] != '/' || end == NULL ||
			strncmp(end, snapshots, sizeof(snapshots) - 1) != 0 ||
			strchr(end + sizeof(snapshots) - 1, '/') != NULL)
			continue;
		p += sizeof(prefix) - 1;
		dashes = strstr(p, "--");
		if (dashes == NULL || dashes >= end)
			return false;
		return snprintf(out, size, "%.*s/%.*s", (int)(dashes - p), p,
			       (int)(end - dashes - 2), dashes + 2) < (int)size;
	}
	return false;
}

int reap_hub_name(const char *dir, char *out, size_t size, struct reap_err *e)
{
	char *real = realpath(dir, NULL);
	const char *slash;

	if (real == NULL)
		return reap_fail_errno(e, "%s", dir);
	if (!name_in_cache(real, out, size)) {
		slash = strrchr(real, '/');
		snprintf(out, size, "%s", slash != NULL ? slash + 1 : real);
	}
	free(real);
	return REAP_OK;
}
