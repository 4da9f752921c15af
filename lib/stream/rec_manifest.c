/* SPDX-License-Identifier: MIT */
#include "lib/stream/rec_manifest.h"

int reap_put_manifest_file(struct reap_writer *w, const struct reap_manifest_file *f,
	struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "file");

	reap_put_str(pk, "name", f->name);
	reap_put_u64(pk, "bytes", f->bytes);
	reap_put_str(pk, "sha256", f->sha256);
	return reap_record_end(w, e);
}

static void put_costs(msgpack_packer *pk, const struct reap_manifest_total *t)
{
	reap_put_f64(pk, "wall_s", t->wall_s);
	reap_put_u64(pk, "bytes_read", t->bytes_read);
	reap_put_u64(pk, "bytes_written", t->bytes_written);
	reap_put_u64(pk, "shards_touched", t->shards_touched);
}

int reap_put_manifest_total(struct reap_writer *w, const struct reap_manifest_total *t,
	struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "total");

	reap_put_str(pk, "mode", t->mode);
	reap_put_u64(pk, "files", t->files);
	put_costs(pk, t);
	reap_put_u64(pk, "peak_rss", t->peak_rss);
	reap_put_key(pk, "verified");
	(t->verified ? msgpack_pack_true : msgpack_pack_false)(pk);
	reap_put_str(pk, "model_digest", t->model_digest);
	return reap_record_end(w, e);
}

int reap_put_manifest_estimate(struct reap_writer *w, const struct reap_manifest_total *t,
	struct reap_err *e)
{
	msgpack_packer *pk = reap_record_begin(w, "estimate");

	put_costs(pk, t);
	return reap_record_end(w, e);
}
