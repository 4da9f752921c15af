/* SPDX-License-Identifier: MIT
 *
 * A record that is printed as JSON and encoded again is the same, byte for byte; and
 * what no record may hold is refused when it is read.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/stream/check.h"
#include "lib/stream/encode.h"
#include "lib/stream/print.h"
#include "tests/unit/tap.h"

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void) /* xorshift64 */
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* ---- any record ---- */

static void put_random_text(msgpack_packer *pk, unsigned unique)
{
	static const char *const piece[] = {"a", "\"", "\\", "\n", "\x01", "\x7f", "\xc2\x85",
		"\xc3\xa9", "\xe2\x80\xa8", "\xef\xbb\xbf", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf",
		"null", "NaN", "inf", " ", "/"};
	char text[128] = "";

	for (uint64_t n = rng() % 6; n > 0; n--)
		strcat(text, piece[rng() % (sizeof(piece) / sizeof(*piece))]);
	if (unique > 0)
		sprintf(text + strlen(text), "%u", unique);
	reap_put_text(pk, text, strlen(text));
}

static void put_random_array(msgpack_packer *pk)
{
	const enum reap_dtype t = (enum reap_dtype)(rng() % 6);
	const int ndim = 1 + (int)(rng() % REAP_MAX_DIMS);
	uint64_t shape[REAP_MAX_DIMS], data[256];
	size_t count = 1;

	for (int i = 0; i < ndim; i++)
		count *= shape[i] = rng() % 5;
	if (count == 0 && rng() % 4 == 0)
		shape[rng() % (unsigned)ndim] = rng() >> 10;
	count = 1;
	for (int i = 0; i < ndim; i++)
		count *= shape[i];
	if (count > 256) {
		shape[0] = 0;
		count = 0;
	}
	for (size_t i = 0; i < 256; i++)
		data[i] = rng() % 4 > 0 ? rng()
			: rng() % 2 > 0 ? 0x7ff8000000000000
					: 0xfff0000000000000;
	if (t == REAP_F32)
		for (size_t i = 0; i < 256; i++) {
			static const uint32_t odd[] = {0x7fc00000, 0x7f800000, 0xff800000,
				0xffc00000, 0x7f800001, 0x80000000, 1, 0x7f7fffff};
			uint32_t bits = rng() % 2 > 0 ? odd[rng() % 8] : (uint32_t)rng();

			memcpy((char *)data + 4 * i, &bits, sizeof(bits));
		}
	reap_put_array_value(pk, t, ndim, shape, data);
}

static void put_random_value(msgpack_packer *pk, int depth)
{
	static const int64_t odd[] = {0, 1, -1, 127, 128, -32, -33, 255, 256, 65535, 65536,
		INT32_MAX, INT32_MIN, UINT32_MAX, (int64_t)UINT32_MAX + 1, INT64_MAX, INT64_MIN,
		-129};
	uint64_t n;
	double d;

	switch (rng() % (depth < 5 ? 9 : 7)) {
	case 0:
		msgpack_pack_nil(pk);
		break;
	case 1:
		if (rng() % 2 > 0)
			msgpack_pack_true(pk);
		else
			msgpack_pack_false(pk);
		break;
	case 2:
		msgpack_pack_int64(pk, odd[rng() % (sizeof(odd) / sizeof(*odd))]);
		break;
	case 3:
		msgpack_pack_int64(pk, (int64_t)rng());
		break;
	case 4:
		do {
			n = rng() % 4 > 0 ? rng() : (uint64_t)1 << 63;
			memcpy(&d, &n, sizeof(d));
		} while (!(d - d == 0));
		msgpack_pack_double(pk, d);
		break;
	case 5:
		put_random_text(pk, 0);
		break;
	case 6:
		put_random_array(pk);
		break;
	case 7:
		n = rng() % 4;
		msgpack_pack_array(pk, n);
		while (n-- > 0)
			put_random_value(pk, depth + 1);
		break;
	default:
		n = rng() % 4;
		msgpack_pack_map(pk, n);
		for (; n > 0; n--) {
			put_random_text(pk, (unsigned)n);
			put_random_value(pk, depth + 1);
		}
	}
}

/* A field that its type has as an array, now and then with an extent of 0. */
static void put_array_field(msgpack_packer *pk, const char *key, enum reap_dtype t, int ndim)
{
	const float v[16] = {0.1f, -0.0f, 3e38f, 1e-45f};
	const uint64_t shape[2] = {rng() % 4, rng() % 3 > 0 ? 2 : rng() % 4};

	reap_put_key(pk, key);
	reap_put_array_value(pk, t, ndim, shape, v);
}

static void put_random_record(msgpack_packer *pk)
{
	unsigned n = (unsigned)(rng() % 4);

	msgpack_pack_map(pk, 5 + n);
	reap_put_str(pk, "t", "route");
	put_array_field(pk, "positions", rng() % 2 > 0 ? REAP_U32 : REAP_F32, 1);
	put_array_field(pk, "experts", REAP_U16, 2);
	put_array_field(pk, "gates", REAP_F32, 1 + (int)(rng() % 2));
	put_array_field(pk, "other", REAP_F64, 1);
	for (; n > 0; n--) {
		put_random_text(pk, n);
		put_random_value(pk, 1);
	}
}

/* ---- there and back ---- */

static const struct reap_header header = {.kind = REAP_KIND_TRACE,
	.has_model = true,
	.model = {.id = "m", .layers = 1, .experts = 4, .top_k = 2}};

/* The bytes of a stream with one record: `line` encoded, or a random one for NULL. */
static char *stream_of(const char *path, const char *line, char *text, size_t *len)
{
	struct reap_err e = {0};
	struct reap_writer *w = NULL;
	json_t *v = NULL;
	char *bytes = NULL;
	int rc = reap_writer_open(&w, open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), path, &header,
		&e);

	if (rc == REAP_OK && line == NULL) {
		msgpack_sbuffer sb;
		msgpack_packer pk;
		struct reap_rec rec = {0};

		msgpack_sbuffer_init(&sb);
		msgpack_packer_init(&pk, &sb, msgpack_sbuffer_write);
		put_random_record(&pk);
		rec.raw = (const uint8_t *)sb.data;
		rec.len = sb.size;
		rc = reap_write_raw(w, &rec, &e);
		msgpack_sbuffer_destroy(&sb);
	} else if (rc == REAP_OK) {
		v = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
		rc = v == NULL ? REAP_EFAIL : reap_encode_record(v, &header, w, "line", &e);
		json_decref(v);
	}
	if (rc == REAP_OK)
		rc = reap_writer_finish(w, &e);
	else
		reap_writer_abort(w);
	snprintf(text, 200, "%.199s", e.text);
	if (rc == REAP_OK && reap_read_file(path, 1 << 20, &bytes, len, &e) != REAP_OK)
		return NULL;
	return bytes;
}

/* The only record of the stream as a line. */
static char *print(const char *path, char *text)
{
	struct reap_err e = {0};
	struct reap_reader *r = NULL;
	struct reap_rec rec;
	char *line = NULL;
	size_t len;
	int fd = open(path, O_RDONLY);

	if (reap_reader_open(&r, fd, "s", REAP_KIND_ANY, &e) == REAP_OK &&
		reap_read(r, &rec, &e) == 1) {
		FILE *f = open_memstream(&line, &len);

		reap_print_record(&rec, reap_reader_header(r), f);
		fclose(f);
	}
	reap_reader_close(r);
	close(fd);
	snprintf(text, 200, "%.199s", e.text);
	return line;
}

static void test_identity(const char *path)
{
	size_t len = 0, again = 0, same = 0;
	char text[200] = "";

	for (int i = 0; i < 3000; i++) {
		char *bytes = stream_of(path, NULL, text, &len);
		char *line = bytes != NULL ? print(path, text) : NULL;
		char *back = line != NULL ? stream_of(path, line, text, &again) : NULL;
		bool equal = back != NULL && len == again && memcmp(bytes, back, len) == 0;

		if (!equal && i - (int)same < 3)
			printf("# %s: %s\n", text, line != NULL ? line : "not printed\n");
		same += equal;
		free(bytes);
		free(line);
		free(back);
	}
	ok(same == 3000, "records that come back as they were: %zu of 3000", same);
}

/* ---- what is refused ---- */

/* A stream whose one record is {t: "a", field}, the field being these bytes. */
static void refused(const char *path, const char *field, size_t n, const char *why)
{
	struct reap_err e = {0};
	struct reap_writer *w = NULL;
	char text[200] = "", raw[600];
	struct reap_rec rec = {.raw = (uint8_t *)raw, .len = 5 + n};
	char *line;

	memcpy(raw,
		"\x82\xa1t\xa1"
		"a",
		5);
	memcpy(raw + 5, field, n);
	if (reap_writer_open(&w, open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), path, &header,
		    &e) != REAP_OK ||
		reap_write_raw(w, &rec, &e) != REAP_OK || reap_writer_finish(w, &e) != REAP_OK) {
		ok(false, "cannot prepare: %s", e.text);
		return;
	}
	line = print(path, text);
	ok(line == NULL && strstr(text, why) != NULL, "refused: %s", text);
	free(line);
}

#define REFUSED(path, bytes, why) refused(path, bytes, sizeof(bytes) - 1, why)

static void test_refused(const char *path)
{
	REFUSED(path, "\xa1x\xa1\xe2", "x: text that is not UTF-8");
	REFUSED(path, "\xa1x\xa2\x61\x00", "x: text with a NUL");
	REFUSED(path, "\xa1\xff\x01", "text that is not UTF-8");
	REFUSED(path, "\x01\x02", "map: a key that is no text");
	REFUSED(path, "\xa1t\x01", "t: given twice");
	REFUSED(path, "\xa1x\xcf\x80\x00\x00\x00\x00\x00\x00\x00", "x: an integer above 2^63-1");
	REFUSED(path, "\xa1x\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
		"x: a number that is not finite");
	REFUSED(path, "\xa1x\x91\xcb\xff\xf0\x00\x00\x00\x00\x00\x00",
		"x: a number that is not finite");
	REFUSED(path, "\xa1x\xc4\x01y", "x: bytes that are no array's");
	REFUSED(path, "\xa1x\xd4\x01y", "x: an extension type");
	REFUSED(path, "\xa1x\x82\xa1y\x01\xa1y\x02", "x: given twice");
	REFUSED(path,
		"\xa1x\x83\xa5"
		"dtype\xa2u8\xa5shape\x91\x02\xa4"
		"data\xc4\x01y",
		"x: not an array of dtype, shape and data");
}

int main(void)
{
	char dir[] = "/tmp/reap-test-XXXXXX", *path;

	if (mkdtemp(dir) == NULL || (path = reap_path_join(dir, "s")) == NULL)
		return 1;
	test_identity(path);
	test_refused(path);
	unlink(path);
	rmdir(dir);
	free(path);
	return tap_done();
}
