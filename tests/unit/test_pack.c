/* SPDX-License-Identifier: MIT
 *
 * The three ways of packing, and token records there and back.  Rows of ids
 * need no tokenizer, so what comes out can be written down by hand.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/text/pack.h"
#include "tests/unit/tap.h"

static char stream_path[64];

/* A letter for each row of the stream, in the order in which they come. */
static char letter(uint32_t row)
{
	static uint32_t seen[26];
	static size_t n;
	size_t i = 0;

	if (row == 0) { /* a new stream */
		n = 0;
		return ' ';
	}
	while (i < n && seen[i] != row)
		i++;
	if (i == n)
		seen[n++] = row;
	return (char)('A' + i);
}

/* Blocks of the stream as "pack[i]:Aid,id*..." where a letter stands where a row begins
 * and * marks kept tokens, then each pack record as "pack=blocks/rows/tokens/kept". */
static const char *read_back(void)
{
	static char out[sizeof((struct reap_err){0}.text)];
	struct reap_block_storage storage = {0};
	struct reap_err e = {0};
	struct reap_reader *r = NULL;
	struct reap_rec rec;
	struct reap_block b;
	struct reap_pack_info p;
	FILE *in = fopen(stream_path, "rb");
	size_t n = 0;
	int rc = in != NULL ? reap_reader_open(&r, fileno(in), "s", REAP_KIND_TOKENS, &e)
			    : REAP_EFAIL;

	out[0] = '\0';
	letter(0);
	if (rc == REAP_OK)
		while ((rc = reap_read(r, &rec, &e)) > 0) {
			if (reap_rec_is(&rec, "pack")) {
				if (reap_get_pack(&rec, &p, &e) != REAP_OK)
					break;
				n += (size_t)snprintf(out + n, sizeof(out) - n,
					" %s=%llu/%llu/%llu/%llu", p.pack,
					(unsigned long long)p.blocks,
					(unsigned long long)p.rows_seen,
					(unsigned long long)p.tokens, (unsigned long long)p.kept);
				continue;
			}
			if (reap_get_block(&rec, &b, &storage, &e) != REAP_OK)
				break;
			n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s[%llu]:", n ? " " : "",
				b.pack, (unsigned long long)b.index);
			for (uint32_t i = 0, part = 0; i < b.len; i++) {
				char row[2] = "";

				if (part < b.parts.n && b.parts.start[part] == i)
					row[0] = letter(b.parts.row[part++]);
				n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s%u%s",
					i ? "," : "", row, b.ids[i], b.keep[i] ? "*" : "");
			}
		}
	if (e.code != REAP_OK)
		snprintf(out, sizeof(out), "%s", e.text);
	reap_reader_close(r);
	if (in != NULL)
		fclose(in);
	reap_block_storage_free(&storage);
	return out;
}

static void check(const char *what, struct reap_pack_opts o, struct reap_rows *const *files,
	size_t n, const char *want)
{
	struct reap_err e = {0};
	struct reap_header h = {.kind = REAP_KIND_TOKENS};
	struct reap_pack_info info[2] = {{.pack = "a", .split = "all"},
		{.pack = "b", .split = "all"}};
	struct reap_feed_opts fo = {.files = files, .n_files = n};
	struct reap_feed *feed = NULL;
	struct reap_writer *w = NULL;
	struct reap_pool *pool = NULL;
	uint64_t index = 0, done = 0;
	FILE *out = fopen(stream_path, "wb");
	const char *got;

	if (out == NULL || reap_pool_open(&pool, 2, &e) != REAP_OK) {
		ok(0, "%s: cannot begin", what);
		return;
	}
	fo.pool = pool;
	if (reap_writer_open(&w, dup(fileno(out)), "s", &h, &e) == REAP_OK &&
		reap_feed_open(&feed, &fo, &e) == REAP_OK &&
		reap_pack_run(&o, feed, info, n, &index, w, NULL, &done, &e) == REAP_OK) {
		struct reap_writer *whole = w;

		w = NULL;
		(void)!reap_writer_finish(whole, &e);
	}
	reap_writer_abort(w);
	reap_feed_close(feed);
	reap_pool_close(pool);
	fclose(out);
	got = e.code != REAP_OK ? e.text : read_back();
	ok(strcmp(got, want) == 0, "%s: %s", what, got);
}

/* One record that a reader must refuse: `block` with these values, or `pack`
 * when the block's `pack` is NULL. */
struct bad {
	const char *pack;
	uint64_t seq_len, n_ids, n_keep, n_channel;
	uint8_t keep, channel;
	uint32_t parts, start[2];
	const char *sha, *hash;
	uint64_t blocks, tokens, kept;
	uint64_t rows_kept, skipped; /* of the 1 row seen; besides the 1 skipped */
	const char *says;
};

static void put_bad(struct reap_writer *w, const struct bad *b, struct reap_err *e)
{
	static const uint32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	uint8_t keep[8], channel[8];
	const uint64_t parts = b->parts > 0 ? b->parts : 1;
	msgpack_packer *pk = reap_record_begin(w, b->pack ? "block" : "pack");

	memset(keep, b->keep, sizeof(keep));
	memset(channel, b->channel, sizeof(channel));
	reap_put_str(pk, "pack", b->pack ? b->pack : "p");
	reap_put_u64(pk, "seq_len", b->seq_len);
	if (b->pack != NULL) {
		reap_put_u64(pk, "index", 0);
		reap_put_array(pk, "ids", &b->n_ids, ids);
		reap_put_array(pk, "keep", &b->n_keep, keep);
		reap_put_array(pk, "channel", &b->n_channel, channel);
		reap_put_array(pk, "rows", &parts, ids);
		reap_put_array(pk, "starts", &parts, b->start);
	} else {
		reap_put_u64(pk, "blocks", b->blocks);
		reap_put_str(pk, "blocks_sha256", "");
		reap_put_u64(pk, "rows_read", 2 + b->skipped);
		reap_put_u64(pk, "rows_seen", 1);
		reap_put_u64(pk, "rows_kept", b->rows_kept);
		reap_put_map(pk, "skipped", 4);
		reap_put_u64(pk, "no_text", 1);
		reap_put_u64(pk, "bad", 0);
		reap_put_u64(pk, "other_part", 0);
		reap_put_u64(pk, "not_sampled", 0);
		reap_put_u64(pk, "completions", 0);
		reap_put_u64(pk, "cut_off", 0);
		reap_put_map(pk, "channels", 6);
		reap_put_u64(pk, "none", 0);
		reap_put_u64(pk, "analysis", 0);
		reap_put_u64(pk, "commentary", 0);
		reap_put_u64(pk, "final", b->kept);
		reap_put_u64(pk, "tool_call", 0);
		reap_put_u64(pk, "other", 0);
		reap_put_str(pk, "rows_sha256", b->sha);
		reap_put_u64(pk, "tokens", b->tokens);
		reap_put_u64(pk, "kept", b->kept);
		reap_put_str(pk, "split", "all");
		reap_put_str(pk, "tokenizer", "");
		reap_put_str(pk, "sample_hash", b->hash);
		reap_put_str(pk, "prompt_sha256", "");
	}
	(void)!reap_record_end(w, e);
}

static void check_refusals(void)
{
#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	static const struct bad cases[] = {
		{.pack = "p", .n_ids = 3, .n_keep = 3, .n_channel = 3, .says = NULL},
		{.pack = "p", .seq_len = 3, .n_ids = 3, .n_keep = 3, .n_channel = 3, .says = NULL},
		{.pack = "p", .says = "ids: 0 tokens"},
		{.pack = "p",
			.seq_len = 4,
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.says = "seq_len is 4"},
		{.pack = "p",
			.seq_len = 1 << 21,
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.says = "seq_len"},
		{.pack = "p", .n_ids = 3, .n_keep = 2, .n_channel = 3, .says = "keep"},
		{.pack = "p", .n_ids = 3, .n_keep = 3, .n_channel = 4, .says = "channel"},
		{.pack = "p",
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.keep = 2,
			.says = "neither 0 nor 1"},
		{.pack = "p",
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.channel = 6,
			.says = "not within 0..5"},
		{.pack = "p",
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.parts = 2,
			.start = {0, 2},
			.says = NULL},
		{.pack = "p",
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.start = {1},
			.says = "starts: element 0"},
		{.pack = "p",
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.parts = 2,
			.start = {0, 0},
			.says = "starts: element 1"},
		{.pack = "p",
			.n_ids = 3,
			.n_keep = 3,
			.n_channel = 3,
			.parts = 2,
			.start = {0, 3},
			.says = "starts: element 1"},
		{.pack = "p",
			.n_ids = 1,
			.n_keep = 1,
			.n_channel = 1,
			.parts = 2,
			.start = {0, 1},
			.says = "rows: 2 rows in 1 token"},
		{.pack = SHA SHA, .n_ids = 3, .n_keep = 3, .n_channel = 3, .says = "pack"},
		{.sha = SHA,
			.hash = "",
			.seq_len = 4,
			.blocks = 2,
			.tokens = 8,
			.kept = 8,
			.says = NULL},
		{.sha = SHA,
			.hash = "",
			.seq_len = 4,
			.blocks = 2,
			.tokens = 8,
			.kept = 9,
			.says = "kept: 9"},
		{.sha = SHA,
			.hash = "",
			.seq_len = 4,
			.blocks = 2,
			.tokens = 9,
			.says = "2 blocks of 4"},
		{.sha = SHA,
			.hash = "",
			.seq_len = 4,
			.blocks = INT64_MAX,
			.tokens = 8,
			.says = "tokens: 8"},
		{.sha = SHA, .hash = "", .rows_kept = 1, .says = NULL},
		{.sha = SHA, .hash = "", .rows_kept = 2, .says = "rows_seen: 1, fewer than 2"},
		{.sha = SHA, .hash = "", .skipped = 1, .says = "rows_read: 3, but 2"},
		{.sha = "", .hash = "", .says = "rows_sha256: not 64"},
		{.sha = SHA, .hash = "xyz", .says = "sample_hash: not 32"},
		{.sha = SHA,
			.hash = "0123456789ABCDEF0123456789abcdef",
			.says = "sample_hash: not 32"},
	};
#undef SHA

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reap_err e = {0};
		struct reap_header h = {.kind = REAP_KIND_TOKENS};
		struct reap_writer *w = NULL;
		FILE *out = fopen(stream_path, "wb");
		const char *got;
		bool refused;

		if (out == NULL || reap_writer_open(&w, dup(fileno(out)), "s", &h, &e) != REAP_OK) {
			ok(0, "refusals: %s", e.text);
			return;
		}
		put_bad(w, &cases[i], &e);
		(void)!reap_writer_finish(w, &e);
		fclose(out);
		got = read_back();
		refused = strncmp(got, "s: record 1", 11) == 0;
		ok(cases[i].says == NULL ? !refused : refused && strstr(got, cases[i].says) != NULL,
			"record %zu %s: %s", i, cases[i].says ? "is refused" : "is read", got);
	}
}

static struct reap_rows *rows_of(const char *name, const char *lines)
{
	char path[80];
	struct reap_rows *r = NULL;
	struct reap_err e = {0};

	snprintf(path, sizeof(path), "%s-%s", stream_path, name);
	if (reap_write_file(path, lines, strlen(lines), &e) != REAP_OK ||
		reap_rows_open(&r, path, "text", &(struct reap_chat_opts){0}, true, &e) !=
			REAP_OK) {
		ok(0, "%s", e.text);
		exit(1);
	}
	unlink(path);
	return r;
}

int main(void)
{
	struct reap_rows *files[3];

	snprintf(stream_path, sizeof(stream_path), "%s/reap-test-pack-%ld",
		getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (long)getpid());
	files[0] = rows_of("a",
		"{\"input_ids\": [1,2,3], \"keep_mask\": [0,1,1]}\n"
		"{\"input_ids\": []}\n"
		"{\"input_ids\": [4,5,6,7,8]}\n"
		"{\"input_ids\": [9], \"keep_mask\": [true]}");
	files[1] = rows_of("b",
		"{\"input_ids\": [11]}\n{\"input_ids\": [12,13], \"keep_mask\": [1,0]}\n");
	files[2] = rows_of("c",
		"{\"input_ids\": [1,2]}\n{\"input_ids\": [3]}\n{\"input_ids\": [1,2]}\n"
		"{\"input_ids\": [4]}\n");

	check("blocks: EOS after each row, first tokens unkept",
		(struct reap_pack_opts){.mode = REAP_PACK_BLOCKS, .seq_len = 4, .eos = 99}, files,
		1, "a[0]:A1,2*,3*,99 a[1]:B4,5*,6*,7* a[2]:B8,99,C9*,99 a=3/3/12/6");
	check("blocks: no more than asked for, the last row counted",
		(struct reap_pack_opts){.mode = REAP_PACK_BLOCKS,
			.seq_len = 3,
			.blocks = 2,
			.eos = 99},
		files, 1, "a[0]:A1,2*,3* a[1]:A99,B4*,5* a=2/2/6/4");
	check("blocks: a row can fill several",
		(struct reap_pack_opts){.mode = REAP_PACK_BLOCKS,
			.seq_len = 2,
			.blocks = 4,
			.eos = 99},
		files, 1, "a[0]:A1,2* a[1]:A3,99 a[2]:B4,5* a[3]:B6,7* a=4/2/8/3");
	check("blocks: too few are an error",
		(struct reap_pack_opts){.mode = REAP_PACK_BLOCKS,
			.seq_len = 4,
			.blocks = 4,
			.eos = 99},
		files, 1, "pack a: 3 blocks of 4 tokens in its 3 rows, not the 4 asked for");
	check("blocks: not one",
		(struct reap_pack_opts){.mode = REAP_PACK_BLOCKS, .seq_len = 13, .eos = 99}, files,
		1,
		"pack a: its 3 rows do not fill a block of 13 tokens: give more rows or ask for shorter "
		"blocks");
	check("rows: the tail of each",
		(struct reap_pack_opts){.mode = REAP_PACK_ROWS, .seq_len = 3}, files, 1,
		"a[0]:A1,2*,3* a[1]:B6*,7*,8* a[2]:C9* a=3/3/7/6");
	check("rows: in turn, each to its own pack",
		(struct reap_pack_opts){.mode = REAP_PACK_ROWS, .seq_len = 9}, files, 2,
		"a[0]:A1,2*,3* b[1]:B11* a[2]:C4*,5*,6*,7*,8* b[3]:D12*,13 a[4]:E9* a=3/3/9/8 b=2/2/3/2");
	check("long: the tail of each row, EOS, first tokens as they are",
		(struct reap_pack_opts){.mode = REAP_PACK_LONG,
			.seq_len = 3,
			.row_max = 2,
			.eos = 99},
		files, 1, "a[0]:A2*,3*,99 a[1]:B7*,8*,99 a=2/3/6/4");
	check("long: no row beyond a block",
		(struct reap_pack_opts){.mode = REAP_PACK_LONG,
			.seq_len = 4,
			.row_max = 100,
			.eos = 99},
		files, 1, "a[0]:A1,2*,3*,99 a[1]:B5*,6*,7*,8* a=2/3/8/6");
	check("long: an upper bound",
		(struct reap_pack_opts){.mode = REAP_PACK_LONG,
			.seq_len = 3,
			.row_max = 2,
			.blocks = 1,
			.eos = 99},
		files, 1, "a[0]:A2*,3*,99 a=1/1/3/2");
	check("long: fewer than the bound are none the worse",
		(struct reap_pack_opts){.mode = REAP_PACK_LONG,
			.seq_len = 8,
			.row_max = 8,
			.blocks = 7,
			.eos = 99},
		files, 1, "a[0]:A1,2*,3*,99,B4*,5*,6*,7* a=1/3/8/6");
	check("blocks: a row that comes twice is one row",
		(struct reap_pack_opts){.mode = REAP_PACK_BLOCKS, .seq_len = 5, .eos = 99},
		&files[2], 1, "a[0]:A1,2*,99,B3*,99 a[1]:A1,2*,99,C4*,99 a=2/4/10/4");
	check_refusals();
	for (int f = 0; f < 3; f++)
		reap_rows_close(files[f]);
	unlink(stream_path);
	return tap_done();
}
