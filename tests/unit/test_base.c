/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hash.h"
#include "lib/base/io.h"
#include "lib/base/json.h"
#include "lib/base/json_walk.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "tests/unit/tap.h"

static void test_err(void)
{
	struct reap_err e = {0};
	char name[900], longest[sizeof(e.text)];

	reap_fail(&e, REAP_ESTREAM, "a%cb", '\n');
	ok(strcmp(e.text, "a?b") == 0, "a message is one line");
	ok(reap_fail(&e, REAP_EFAIL, "later") == REAP_ESTREAM && strcmp(e.text, "a?b") == 0,
		"the first failure wins");
	e = (struct reap_err){0};
	errno = ENOENT;
	reap_fail_errno(&e, "x");
	ok(strcmp(e.text, "x: No such file or directory") == 0, "errno is spelled out");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	e = (struct reap_err){0};
	errno = ENOENT;
	reap_fail_errno(&e, "%s", longest);
	ok(strlen(e.text) == sizeof(e.text) - 1 && strstr(e.text, "x: No such file or directory"),
		"a name as long as the message does not push out why");
	memset(name, 'y', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	e = (struct reap_err){0};
	reap_fail(&e, REAP_EFAIL, "%s: lies within %s: why", name, name);
	ok(strstr(e.text, ": why") != NULL, "two long names fit");
	e = (struct reap_err){0};
	reap_fail(&e, REAP_EFAIL, "a%sb%s%s", "\xc2\x9b", "\xc2\xa0", "\x9b");
	ok(strcmp(e.text, "a?b\xc2\xa0\x9b") == 0, "control characters of two bytes: %s", e.text);
}

/* Whole buffers are written at once, and stdio then has nothing left that could fail later. */
static void test_print(void)
{
	static const char text[1 << 16];
	int fd = open("/dev/full", O_WRONLY);

	for (size_t n = 1; n <= sizeof(text); n *= 4) {
		FILE *f = reap_print_open(fd);

		fwrite(text, 1, n, f);
		errno = 0;
		ok(reap_print_close(f) != 0 && errno == ENOSPC, "a full disk, %zu bytes", n);
	}
	close(fd);
}

static void test_mem(void)
{
	uint64_t v = 7;
	void *volatile p;

	ok(!reap_mul_u64(UINT64_MAX, 2, &v) && v == 7, "a product that does not fit");
	ok(reap_mul_u64(UINT64_MAX, 1, &v) && v == UINT64_MAX, "a product that just fits");
	ok(!reap_add_u64(UINT64_MAX, 1, &v), "a sum that does not fit");
	p = reap_alloc(SIZE_MAX / 2, 4);
	ok(p == NULL, "an array larger than memory can be");
	p = reap_alloc_aligned(3, 5);
	ok(p != NULL && (uintptr_t)p % 64 == 0, "aligned memory");
	free(p);
}

static void test_hash(void)
{
	char hex[REAP_SHA256_HEX];
	struct reap_err e = {0};

	/* FIPS 180-2; RFC 3720 B.4; BLAKE2b with an 8-byte digest of the empty
	 * string and of "abc" as Python's hashlib gives them. */
	ok(reap_sha256_buf("abc", 3, hex, &e) == REAP_OK &&
			strcmp(hex,
				"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") ==
				0,
		"SHA-256 of abc");
	ok(reap_crc32c(0, "123456789", 9) == 0xe3069283, "CRC-32C check value");
	ok(reap_crc32c(reap_crc32c(0, "1234", 4), "56789", 5) == 0xe3069283,
		"CRC-32C in two pieces");
	ok(reap_blake2b_64("", 0) == 0xe4a6a0577479b2b4, "BLAKE2b-64 of nothing");
	ok(reap_blake2b_64("abc", 3) == 0xd8bb14d833d59559, "BLAKE2b-64 of abc");
}

static void test_io(const char *dir)
{
	char *path = reap_path_join(dir, "f"), *buf;
	struct reap_atomic_file f;
	struct reap_err e = {0};
	struct stat st;
	size_t len;

	ok(reap_write_file(path, "hello", 5, &e) == REAP_OK, "write a file");
	ok(reap_read_file(path, 5, &buf, &len, &e) == REAP_OK && len == 5 &&
			strcmp(buf, "hello") == 0,
		"read it back");
	free(buf);
	ok(reap_read_file(path, 4, &buf, &len, &e) == REAP_EFAIL && strstr(e.text, "limit of 4"),
		"a file over the limit is refused: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_read_file("/proc/self/status", 1 << 20, &buf, &len, &e) == REAP_OK && len > 100,
		"a file without a size is read to its end");
	free(buf);
	ok(reap_read_file(dir, 5, &buf, &len, &e) == REAP_EFAIL, "a directory is refused");
	e = (struct reap_err){0};

	ok(reap_atomic_open(&f, path, &e) == REAP_OK, "begin to replace the file");
	ok(reap_write_full(f.fd, "x", 1) == 0, "write a part");
	char *tmp = strdup(f.tmp);
	reap_atomic_abort(&f);
	ok(stat(tmp, &st) != 0 && stat(path, &st) == 0 && st.st_size == 5,
		"an aborted replacement leaves the old file and nothing else");
	free(tmp);
	ok(reap_write_file("/nonexistent/f", "x", 1, &e) == REAP_EFAIL,
		"a directory that is not there");
	unlink(path);
	free(path);
}

static void test_json(void)
{
	static const char text[] = "{\"a\":1,\"s\":\"x\",\"n\":null,\"b\":false,\"d\":2.5}";
	struct reap_err e = {0};
	const char *s = NULL;
	uint64_t u = 9;
	double d = 0.5;
	bool b = true;
	json_t *j;

	ok(reap_json_parse("{\"a\":1,\"a\":2}", 13, "f", &j, &e) == REAP_EFAIL,
		"a duplicate key is refused: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_json_parse(text, strlen(text), "f", &j, &e) == REAP_OK, "parse");
	ok(reap_json_u64(j, "a", "f", 0, 5, &u, &e) == REAP_OK && u == 1, "integer");
	ok(reap_json_opt_u64(j, "n", "f", 0, 5, &u, &e) == REAP_OK && u == 1, "null is absent");
	ok(reap_json_str(j, "s", "f", &s, &e) == REAP_OK && strcmp(s, "x") == 0, "string");
	ok(reap_json_opt_bool(j, "b", "f", &b, &e) == REAP_OK && !b, "boolean");
	ok(reap_json_opt_f64(j, "d", "f", &d, &e) == REAP_OK && d == 2.5, "number");
	ok(reap_json_u64(j, "a", "f", 2, 5, &u, &e) == REAP_EFAIL && strstr(e.text, "f: a: 1"),
		"out of range: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_json_u64(j, "zz", "f", 2, 5, &u, &e) == REAP_EFAIL && strstr(e.text, "missing"),
		"missing: %s", e.text);
	e = (struct reap_err){0};
	ok(reap_json_str(j, "a", "f", &s, &e) == REAP_EFAIL, "wrong type");
	json_decref(j);
}

/* Keys and values as "key=value " text. */
static int note(void *arg, const char *key, struct reap_json_part value, struct reap_err *e)
{
	char *out = arg;

	(void)e;
	sprintf(out + strlen(out), "%s=%.*s ", key, (int)value.len, value.text);
	return REAP_OK;
}

static const char *walked(const char *text, struct reap_err *e)
{
	static char out[256];

	*out = '\0';
	*e = (struct reap_err){0};
	return reap_json_walk((struct reap_json_part){text, strlen(text), text}, "f", note, out,
		       e) == REAP_OK
		? out
		: e->text;
}

static int stop(void *arg, const char *key, struct reap_json_part value, struct reap_err *e)
{
	json_t *v;
	int rc = reap_json_parse_part(value, "f", &v, e);

	(void)arg;
	(void)key;
	if (rc == REAP_OK)
		json_decref(v);
	return rc;
}

static void test_json_walk(void)
{
	static const struct {
		const char *text, *want;
	} walk[] = {{"{}", ""}, {" { } ", ""}, {"{\"a\":1}", "a=1 "},
		{"{\"a\" : \"}\\\"\" ,\n\"b\\n\":{\"c\":[1,{}]},\"d\":null }",
			"a=\"}\\\"\" b\n={\"c\":[1,{}]} d=null "},
		{"{\"a\":1,\"a\":2}", "a=1 a=2 "}, {"{\"\":[]}", "=[] "},
		{"", "f: line 1: not an object"}, {"[]", "f: line 1: not an object"},
		{"{", "f: line 1: ',' or '}' is expected"},
		{"{\"a\":1", "f: line 1: ',' or '}' is expected"},
		{"{\n\"a\":1 2}", "f: line 2: ',' or '}' is expected"},
		{"{\"a\"\n1}", "f: line 2: ':' is expected"},
		{"{\"a\"", "f: line 1: ':' is expected"},
		{"{\"a\":1,}", "f: line 1: a key is expected"},
		{"{a:1}", "f: line 1: a key is expected"},
		{"{\"a\":1}\n}", "f: line 2: something follows the object"}};
	static const char *const bad[] = {"{\"a\":1}\\", "{\"a:1}", "{\"\\", "{\"\\u0000\":1}",
		"{\"\xff\":1}", "{\"a\tb\":1}"};
	static const char *const values[] = {"", "1\"a\"", "[1}", "{]", "\"a", "\"\\", "[", "tru",
		"]", "01", "{\"a\":1,\"a\":1}", ":1"};
	static const char lines[] = "1\n[}";
	struct reap_err e;
	json_t *v;

	for (size_t i = 0; i < sizeof(walk) / sizeof(*walk); i++) {
		const char *got = walked(walk[i].text, &e);

		ok(strcmp(got, walk[i].want) == 0, "a walk, number %zu", i);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		walked(bad[i], &e);
		ok(e.text[0] != '\0', "refused: %s", e.text);
	}
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char text[64];

		e = (struct reap_err){0};
		snprintf(text, sizeof(text), "{\"k\":%s}", values[i]);
		ok(reap_json_walk((struct reap_json_part){text, strlen(text), text}, "f", stop,
			   NULL, &e) != REAP_OK,
			"%s: %s", text, e.text);
	}
	e = (struct reap_err){0};
	ok(reap_json_parse_part((struct reap_json_part){lines + 2, 2, lines}, "f", &v, &e) !=
				REAP_OK &&
			strncmp(e.text, "f: line 2: ", 11) == 0,
		"lines are the file's: %s", e.text);
}

struct count {
	atomic_int hit[1000];
	atomic_int bad_thread;
	int threads;
};

static void count_one(void *arg, size_t task, int thread)
{
	struct count *c = arg;

	atomic_fetch_add(&c->hit[task], 1);
	if (thread < 0 || thread >= c->threads)
		atomic_store(&c->bad_thread, 1);
}

static void test_threads(void)
{
	struct reap_err e = {0};
	struct reap_pool *p;

	for (int n = 1; n <= 4; n += 3) {
		static struct count c;
		int wrong = 0;

		memset(&c, 0, sizeof(c));
		c.threads = n;
		ok(reap_pool_open(&p, n, &e) == REAP_OK, "a pool of %d", n);
		for (int run = 0; run < 50; run++)
			reap_pool_run(p, 1000, count_one, &c);
		reap_pool_run(p, 0, count_one, &c);
		for (int i = 0; i < 1000; i++)
			wrong += c.hit[i] != 50;
		ok(wrong == 0 && !c.bad_thread, "every task ran once in each of 50 runs");
		reap_pool_close(p);
	}
	ok(reap_cpu_count() >= 1, "at least one processor");
}

int main(void)
{
	char dir[] = "/tmp/reap-test-XXXXXX";

	if (mkdtemp(dir) == NULL)
		return 1;
	test_err();
	test_mem();
	test_print();
	test_hash();
	test_io(dir);
	test_json();
	test_json_walk();
	test_threads();
	rmdir(dir);
	return tap_done();
}
