/* SPDX-License-Identifier: MIT */
#include "lib/text/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/hub.h"
#include "lib/base/io.h"

char *reap_tokenizer_beside(const char *tokenizer, const char *name)
{
	const char *slash = strrchr(tokenizer, '/');
	char *dir =
		slash != NULL ? strndup(tokenizer, (size_t)(slash - tokenizer) + 1) : strdup(".");
	char *path = dir != NULL ? reap_path_join(dir, name) : NULL;

	free(dir);
	return path;
}

int reap_tokenizer_open(struct reap_tokenizer *t, const char *model, const char *file,
	struct reap_err *e)
{
	struct stat st;

	*t = (struct reap_tokenizer){0};
	if (model == NULL && file == NULL) {
		snprintf(t->none, sizeof(t->none), "no tokenizer was given");
		return REAP_OK;
	}
	t->path = model != NULL ? reap_path_join(model, "tokenizer.json") : strdup(file);
	if (t->path == NULL)
		return reap_fail_memory(e, "tokenizer");
	if (model != NULL && reap_is_folder(model) && lstat(t->path, &st) != 0 && errno == ENOENT) {
		snprintf(t->none, sizeof(t->none), "%.300s is missing", t->path);
		return REAP_OK;
	}
	return reap_bpe_load(&t->bpe, t->path, e);
}

int reap_tokenizer_find(struct reap_tokenizer *t, const char *name, struct reap_err *e)
{
	char *dir = NULL;
	struct stat st;
	int rc;

	*t = (struct reap_tokenizer){0};
	if (stat(name, &st) == 0 && !S_ISDIR(st.st_mode))
		return reap_tokenizer_open(t, NULL, name, e);
	if ((rc = reap_hub_find(name, &dir, e)) == REAP_OK)
		rc = reap_tokenizer_open(t, dir, NULL, e);
	free(dir);
	return rc == REAP_OK && t->bpe == NULL ? reap_fail(e, REAP_EFAIL, "%s", t->none) : rc;
}

void reap_tokenizer_close(struct reap_tokenizer *t)
{
	reap_bpe_free(t->bpe);
	free(t->path);
	*t = (struct reap_tokenizer){0};
}

/* An id in digits. */
static int parse_id(const char *digits, uint32_t *id, struct reap_err *e)
{
	unsigned long long v;

	errno = 0;
	v = strtoull(digits, NULL, 10);
	if (errno == ERANGE || v > INT32_MAX)
		return reap_fail(e, REAP_EUSAGE, "--eos: '%s' is not a number within 0..%d", digits,
			INT32_MAX);
	*id = (uint32_t)v;
	return REAP_OK;
}

int reap_tokenizer_eos(const struct reap_tokenizer *t, const char *eos, uint32_t *id,
	struct reap_err *e)
{
	char *config;
	int rc;

	if (eos != NULL && eos[0] != '\0' && strspn(eos, "0123456789") == strlen(eos))
		return parse_id(eos, id, e);
	if (t->bpe == NULL && eos != NULL)
		return reap_fail(e, REAP_EUSAGE, "--eos: %s, so an id is needed", t->none);
	if (t->bpe == NULL)
		return reap_fail(e, REAP_EUSAGE,
			"packing needs an EOS token, but %s: give --eos ID", t->none);
	if (eos != NULL) {
		if (reap_bpe_find(t->bpe, eos, strlen(eos), id))
			return REAP_OK;
		return reap_fail(e, REAP_EUSAGE, "--eos: '%s' is not a token of %s", eos, t->path);
	}
	config = reap_tokenizer_beside(t->path, "tokenizer_config.json");
	rc = config != NULL ? reap_bpe_eos(t->bpe, config, id, e) : reap_fail_memory(e, t->path);
	free(config);
	return rc;
}

int reap_tokenizer_template(const struct reap_tokenizer *t, const char *date,
	struct reap_template **out, struct reap_err *e)
{
	static const char tag[] = "<|message|>";
	char *config, *slash;
	size_t len;
	int rc;

	*out = NULL;
	if (t->bpe == NULL)
		return REAP_OK;
	(void)reap_bpe_is_special(t->bpe, tag, sizeof(tag) - 1, &len);
	if (len == sizeof(tag) - 1)
		return REAP_OK;
	if ((config = reap_tokenizer_beside(t->path, "")) == NULL)
		return reap_fail_memory(e, t->path);
	slash = strrchr(config, '/');
	if (slash != NULL && slash != config && slash[1] == '\0')
		*slash = '\0';
	rc = reap_template_open(out, config, date, e);
	free(config);
	return rc;
}
