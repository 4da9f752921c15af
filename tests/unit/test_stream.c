/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/stream/stream.h"
#include "lib/stream/walk.h"
#include "tests/unit/tap.h"

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void) /* xorshift64 */
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static enum reap_walk walk(const void *p, size_t n, size_t *len)
{
	return reap_walk(p, n, len);
}

/* 250,000 values that arrive byte by byte: the walker never goes back, or this would
 * take minutes.  Three times as many are refused before they have all come. */
static void test_walk_in_steps(void)
{
	const uint32_t n = 3 * REAP_MAX_VALUES;
	uint8_t *p = calloc(n + 5, 1);
	struct reap_walker w;
	enum reap_walk r = REAP_WALK_MORE;
	size_t len = 0, at;

	memcpy(p, "\xdd\x00\x03\xd0\x90", 5);
	reap_walk_begin(&w);
	for (at = 0; r == REAP_WALK_MORE; at++)
		r = reap_walk_on(&w, p, at, &len);
	ok(r == REAP_WALK_OK && len == 250005 && at == len + 1,
		"an array of 250,000, byte by byte");
	for (size_t i = 0; i < n; i++)
		p[i] = i % 8 == 0 ? 0x97 : 0xc0; /* lists of seven in a list */
	memcpy(p, "\xdd\x00\x03\xff\xff", 5);
	ok(walk(p, n, &len) == REAP_WALK_VALUES, "many values in many lists");
	free(p);
}

static void test_walk(void)
{
	char deep[40];
	size_t len;
	int disagree = 0, compared = 0;

	ok(walk("\xdd\x08\x00\x00\x00", 5, &len) == REAP_WALK_VALUES,
		"an array that claims 2^27 entries");
	ok(walk("\xc6\xff\xff\xff\xff", 5, &len) == REAP_WALK_LONG, "a bin that claims 4 GiB");
	ok(walk("\xc1", 1, &len) == REAP_WALK_BAD, "0xc1 is never used");
	memset(deep, '\x91', sizeof(deep));
	ok(walk(deep, sizeof(deep), &len) == REAP_WALK_DEEP, "40 levels");
	ok(walk("\xc5\x00", 2, &len) == REAP_WALK_MORE && len > 2, "a cut length");
	ok(walk("\xc4\x03xy", 4, &len) == REAP_WALK_MORE && len == 5,
		"a cut body says what it lacks");
	ok(walk("", 0, &len) == REAP_WALK_MORE && len == 1, "nothing");
	test_walk_in_steps();

	/* Against msgpack-c: same verdict and length on random bytes that favour
	 * container and length codes. */
	for (int i = 0; i < 200000; i++) {
		uint8_t b[24];
		size_t n = 1 + rng() % sizeof(b), off = 0;
		msgpack_unpacked u;
		enum reap_walk w;

		for (size_t j = 0; j < n; j++)
			b[j] = rng() % 3 ? (uint8_t)(0x80 + rng() % 0x60) : (uint8_t)(rng() % 8);
		w = reap_walk(b, n, &len);
		if (w == REAP_WALK_VALUES || w == REAP_WALK_LONG || w == REAP_WALK_DEEP)
			continue; /* what must never reach msgpack-c */
		msgpack_unpacked_init(&u);
		switch (msgpack_unpack_next(&u, (char *)b, n, &off)) {
		case MSGPACK_UNPACK_SUCCESS:
			disagree += w != REAP_WALK_OK || len != off;
			break;
		case MSGPACK_UNPACK_CONTINUE:
			disagree += w != REAP_WALK_MORE;
			break;
		case MSGPACK_UNPACK_PARSE_ERROR:
			disagree += w != REAP_WALK_BAD;
			break;
		default:
			break;
		}
		compared++;
		msgpack_unpacked_destroy(&u);
	}
	ok(disagree == 0 && compared > 50000, "agrees with msgpack-c on %d random inputs",
		compared);
}

/* A stream of n records in a file, with a model and one history entry. */
static int make(const char *path, int n)
{
	static char *argv[] = {(char *)"reap-test", (char *)"--x"};
	struct reap_err e = {0};
	struct reap_header h;
	struct reap_writer *w;
	const float v[6] = {1, 2, 3, 4, 5, 6};
	const char *const wrong[] = {"experts", "norms", "logp"}; /* u16 and f32[n,k]; none */

	if (reap_header_init(&h, REAP_KIND_TRACE, NULL, &e) != REAP_OK)
		return -1;
	h.has_model = true;
	h.model = (struct reap_model_id){.id = "m",
		.digest = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
		.layers = 2,
		.experts = 8,
		.top_k = 4};
	if (reap_header_add_history(&h, "reap-test", "0", 2, argv, &e) != REAP_OK ||
		reap_writer_open(&w, open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), path, &h,
			&e) != REAP_OK)
		return -1;
	reap_header_free(&h);
	for (int i = 0; i < n; i++) {
		msgpack_packer *pk = reap_record_begin(w, "route");

		reap_put_u64(pk, "i", (uint64_t)i);
		reap_put_f64(pk, "x", 0.5);
		reap_put_array(pk, "gates", (const uint64_t[]){2, 3}, v);
		for (int k = 0; k < 3; k++) {
			reap_put_key(pk, wrong[k]);
			reap_put_array_value(pk, REAP_F32, 1, (const uint64_t[]){6}, v);
		}
		if (reap_record_end(w, &e) != REAP_OK)
			return -1;
	}
	return reap_writer_finish(w, &e);
}

/* Read a file to its end: records read, or the negative code. */
static int count(const char *path, struct reap_err *e)
{
	struct reap_reader *r;
	struct reap_rec rec;
	int fd = open(path, O_RDONLY), n = 0, rc;

	*e = (struct reap_err){0};
	rc = reap_reader_open(&r, fd, "stream", REAP_KIND_ANY, e);
	if (rc == REAP_OK)
		while ((rc = reap_read(r, &rec, e)) > 0)
			n++;
	if (rc == 0 && reap_read(r, &rec, e) != 0)
		rc = -100; /* the end stays the end */
	reap_reader_close(r);
	close(fd);
	return rc < 0 ? rc : n;
}

static void test_round_trip(const char *path)
{
	struct reap_err e = {0};
	struct reap_reader *r;
	struct reap_rec rec;
	uint64_t shape[2], u = 99;
	const uint8_t *data = NULL;
	const uint64_t want[2] = {REAP_ANY_EXTENT, 3}, wrong[2] = {2, 4};
	double d = 0;
	float v[6] = {0};
	char s[4];
	int fd;

	ok(make(path, 3) == REAP_OK, "write a stream");
	fd = open(path, O_RDONLY);
	ok(reap_reader_open(&r, fd, "f", REAP_KIND_TRACE, &e) == REAP_OK, "open it %s", e.text);
	ok(reap_reader_header(r)->has_model && reap_reader_header(r)->model.experts == 8 &&
			reap_reader_header(r)->history_count == 1 &&
			!reap_reader_header(r)->has_recipe,
		"its header");
	ok(reap_read(r, &rec, &e) == 1 && reap_rec_is(&rec, "route") && rec.number == 1,
		"a record");
	ok(reap_rec_u64(&rec, NULL, "i", 5, &u, &e) == REAP_OK && u == 0, "an integer");
	ok(reap_rec_f64(&rec, NULL, "x", &d, &e) == REAP_OK && d == 0.5, "a float");
	ok(reap_rec_array(&rec, NULL, "gates", want, shape, &data, &e) == REAP_OK && shape[0] == 2,
		"an array");
	memcpy(v, data, sizeof(v));
	ok(v[0] == 1 && v[5] == 6, "its values");
	ok(reap_rec_array(&rec, NULL, "gates", wrong, shape, &data, &e) == REAP_ESTREAM,
		"a wrong extent: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_rec_array(&rec, NULL, "experts", want, shape, &data, &e) == REAP_ESTREAM &&
			strstr(e.text, "dtype f32, expected u16"),
		"a wrong dtype: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_rec_array(&rec, NULL, "norms", want, shape, &data, &e) == REAP_ESTREAM,
		"a wrong number of dimensions: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_rec_array(&rec, NULL, "logp", want, shape, &data, &e) == REAP_ESTREAM &&
			strstr(e.text, "logp: not known as an array"),
		"another record's array: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_rec_str_copy(&rec, NULL, "t", s, sizeof(s), &e) == REAP_ESTREAM,
		"a string that does not fit: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_read(r, &rec, &e) == 1 && reap_rec_u64(&rec, NULL, "i", 0, &u, &e) == REAP_ESTREAM,
		"over the maximum: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_read(r, &rec, &e) == 1 && reap_read(r, &rec, &e) == 0 &&
			reap_read(r, &rec, &e) == 0,
		"the end, again and again");
	reap_reader_close(r);
	close(fd);

	fd = open(path, O_RDONLY);
	ok(reap_reader_open(&r, fd, "f", REAP_KIND_PLAN, &e) == REAP_ESTREAM &&
			strstr(e.text, "kind trace, expected plan"),
		"the wrong kind: %s", e.text);
	close(fd);
}

/* Every cut and every flipped byte must be seen. */
static void test_damage(const char *path)
{
	struct reap_err e = {0};
	char *good;
	size_t len;
	int seen = 0, cuts = 0;

	if (make(path, 5) != REAP_OK || reap_read_file(path, 1 << 20, &good, &len, &e) != REAP_OK) {
		ok(0, "cannot prepare");
		return;
	}
	for (size_t n = 0; n < len; n++) {
		cuts += reap_write_file(path, good, n, &e) == REAP_OK &&
			count(path, &e) == REAP_ESTREAM;
	}
	ok(cuts == (int)len, "cut at any of %zu bytes: %d seen", len, cuts);
	for (size_t n = 0; n < len; n++) {
		good[n] ^= 0x20;
		seen += reap_write_file(path, good, len, &e) == REAP_OK && count(path, &e) < 0;
		good[n] ^= 0x20;
	}
	/* Flips inside the end record's own key names or counts are damage too. */
	ok(seen == (int)len, "a flipped bit in any of %zu bytes: %d seen", len, seen);
	good = realloc(good, len + 1);
	good[len] = '\x80';
	ok(reap_write_file(path, good, len + 1, &e) == REAP_OK && count(path, &e) == REAP_ESTREAM,
		"a byte after the end: %s", e.text);
	ok(reap_write_file(path, good, len, &e) == REAP_OK && count(path, &e) == 5,
		"unharmed again");
	free(good);
}

static void test_writer_errors(void)
{
	struct reap_err e = {0};
	struct reap_header h = {.kind = REAP_KIND_PLAN};
	struct reap_writer *w;

	ok(reap_writer_open(&w, open("/dev/full", O_WRONLY), "f", &h, &e) == REAP_OK &&
			reap_writer_finish(w, &e) == REAP_EFAIL && strstr(e.text, "No space left"),
		"a full disk: %s", e.text);
}

static void test_backends(void)
{
	char names[REAP_BACKEND] = "two", long_name[REAP_BACKEND];
	struct reap_err e = {0};

	ok(reap_backend_add(names, "two", &e) == REAP_OK && strcmp(names, "two") == 0 &&
			!reap_backend_is_mixed(names),
		"one arithmetic twice is one");
	ok(reap_backend_add(names, "one", &e) == REAP_OK && strcmp(names, "one + two") == 0 &&
			reap_backend_is_mixed(names),
		"two are named in order");
	ok(reap_backend_add(names, "on + three + two", &e) == REAP_OK &&
			strcmp(names, "on + one + three + two") == 0,
		"each is named once");
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	ok(reap_backend_add(names, long_name, &e) == REAP_EFAIL &&
			strcmp(names, "on + one + three + two") == 0,
		"more than there is room for: an error, and nothing changes");
}

int main(void)
{
	char dir[] = "/tmp/reap-test-XXXXXX", *path;

	if (mkdtemp(dir) == NULL || (path = reap_path_join(dir, "s")) == NULL)
		return 1;
	test_walk();
	test_backends();
	test_round_trip(path);
	test_damage(path);
	test_writer_errors();
	unlink(path);
	rmdir(dir);
	free(path);
	return tap_done();
}
