/* SPDX-License-Identifier: MIT
 *
 * Mapping the weights where the file system refuses it, and finding the file that an
 * address belongs to.  This program's mmap stands before the library's.
 */
#define _GNU_SOURCE /* syscall */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/model/checkpoint.h"
#include "lib/model/model.h"
#include "tests/unit/tap.h"

static int refused_shared, refused_private; /* errno; 0: allowed */

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	const int refused = flags & MAP_SHARED ? refused_shared : refused_private;

	if (fd >= 0 && refused != 0) {
		errno = refused;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}

static struct reap_model *model;

static int map(int shared, int private, struct reap_err *e)
{
	int rc;

	*e = (struct reap_err){0};
	reap_model_close(model);
	if (reap_model_open(&model, "tests/fixtures/model", e) != REAP_OK)
		return e->code;
	refused_shared = shared;
	refused_private = private;
	rc = reap_model_map(model, e);
	refused_shared = refused_private = 0;
	return rc;
}

/* The mapping shows what the file holds. */
static bool in_place(const struct reap_tensor *t)
{
	uint8_t buf[64];
	struct reap_err e = {0};

	return reap_checkpoint_read(model->ckpt, t, 0, buf, sizeof(buf), &e) == REAP_OK &&
		memcmp(buf, t->data, sizeof(buf)) == 0;
}

int main(void)
{
	const struct reap_shard *last;
	struct reap_err e;
	bool cut_short;

	ok(map(0, 0, &e) == REAP_OK && in_place(reap_tensor_of(&model->whole, REAP_ROLE_EMBED)) &&
			in_place(reap_tensor_of(&model->whole, REAP_ROLE_FINAL_NORM)),
		"shared %s", e.text);
	ok(map(ENODEV, 0, &e) == REAP_OK &&
			in_place(reap_tensor_of(&model->whole, REAP_ROLE_EMBED)) &&
			in_place(reap_tensor_of(&model->whole, REAP_ROLE_FINAL_NORM)),
		"private where shared is refused %s", e.text);

	last = &model->ckpt->shard[model->ckpt->shards - 1];
	ok(reap_model_file_at(model, last->map, &cut_short) == last->path && !cut_short &&
			reap_model_file_at(model, last->map + last->bytes - 1, &cut_short) ==
				last->path,
		"an address in a mapping belongs to its file");
	ok(reap_model_file_at(model, &e, &cut_short) == NULL &&
			reap_model_file_at(model, last->map + last->bytes, &cut_short) !=
				last->path,
		"another does not");

	ok(map(ENODEV, ENODEV, &e) == REAP_EFAIL &&
			strstr(e.text, "model-00001-of-00003.safetensors: cannot be mapped") !=
				NULL &&
			strstr(e.text, "copy the model to a disk of this machine") != NULL,
		"neither: %s", e.text);
	ok(map(ENOMEM, ENOMEM, &e) == REAP_EFAIL && strstr(e.text, "ulimit -v") != NULL,
		"no address space: %s", e.text);
	reap_model_close(model);
	return tap_done();
}
