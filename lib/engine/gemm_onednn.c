/* SPDX-License-Identifier: MIT
 *
 * Products through oneDNN's matmul, in bf16 where the library has kernels for it
 * on this processor (AMX or AVX512-BF16), else in f32.
 *
 * The library is opened when it is asked for, not linked: it is 40 MB and brings
 * a C++ and an OpenMP runtime, which tools that never use it should not load, and
 * one build then serves machines with version 2, version 3 or none.  The few
 * functions of its C interface that are needed are declared here: versions 2
 * and 3 share all but those that describe memory and a matmul.
 *
 * A primitive of oneDNN holds for one shape, and is generated code that takes
 * milliseconds to make.  So a panel of rows is cut into powers of two, and the
 * primitives are kept for the life of the process.  A row's bits depend on the
 * size of its piece (so it was with 2.6 and 3.2, both in bf16 and f32), hence by_block.
 *
 * No call here can return an error.  Where the library fails (it has no memory,
 * in practice) the numbers become NaN, which the engine refuses.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/engine/gemm_backends.h"

/* ---- the library ---- */

/* Values of its enumerations, the same in versions 2 and 3. */
enum {
	DNNL_BF16 = 2,
	DNNL_F32 = 3,
	DNNL_TAG_ANY = 1,
	DNNL_CPU = 1,
	DNNL_STREAM_IN_ORDER = 1,
	DNNL_SCRATCHPAD_USER = 1,
	DNNL_FPMATH_STRICT = 0,
	DNNL_QUERY_WEIGHTS_MD = 131,
	DNNL_QUERY_SCRATCHPAD_MD = 136,
	DNNL_ARG_SRC = 1,
	DNNL_ARG_DST = 17,
	DNNL_ARG_WEIGHTS = 33,
	DNNL_ARG_SCRATCHPAD = 80,
	DNNL_RUNTIME_SEQ = 1,
	DNNL_RUNTIME_OMP = 2,
	/* Bits that an instruction set has in common with those that include it. */
	DNNL_ISA_AVX512_BF16 = 0xe7,
};

struct dnnl_version {
	int major, minor, patch;
	const char *hash;
	unsigned cpu_runtime, gpu_runtime;
};

struct dnnl_arg {
	int arg;
	void *memory;
};

/* Version 2 keeps descriptors in structures of 696 and 2,800 bytes, which it fills
 * through a pointer and nobody else needs to look into; version 3 behind a pointer. */
union md {
	uint64_t v2[256];
	void *v3;
};

struct matmul_desc {
	uint64_t v2[1024];
};

static struct {
	int major;
	void *engine;
	void (*omp_set_num_threads)(int);
	int (*get_effective_cpu_isa)(void);
	const struct dnnl_version *(*version)(void);
	int (*engine_create)(void **engine, int kind, size_t index);
	int (*stream_create)(void **stream, void *engine, unsigned flags);
	int (*stream_wait)(void *stream);
	int (*stream_destroy)(void *stream);
	int (*attr_create)(void **attr);
	int (*attr_destroy)(void *attr);
	int (*attr_set_scratchpad_mode)(void *attr, int mode);
	int (*attr_set_fpmath_mode)(void *attr, int mode);
	int (*desc_destroy)(void *desc);
	int (*desc_reorder)(void **desc, const void *src, void *src_engine, const void *dst,
		void *dst_engine, const void *attr);
	const void *(*desc_query_md)(const void *desc, int what, int index);
	size_t (*md_get_size)(const void *md);
	int (*primitive_create)(void **primitive, const void *desc);
	int (*primitive_destroy)(void *primitive);
	int (*primitive_execute)(const void *primitive, void *stream, int n,
		const struct dnnl_arg *);
	int (*memory_create)(void **memory, const void *md, void *engine, void *handle);
	int (*memory_destroy)(void *memory);

	/* Version 2. */
	int (*v2_md_strides)(void *md, int dims, const int64_t *dim, int type,
		const int64_t *stride);
	int (*v2_md_tag)(void *md, int dims, const int64_t *dim, int type, int tag);
	int (*v2_matmul)(void *desc, const void *src, const void *w, const void *bias,
		const void *dst);
	int (*v2_desc_create)(void **desc, const void *op, const void *attr, void *engine,
		const void *hint);

	/* Version 3. */
	int (*v3_md_strides)(void **md, int dims, const int64_t *dim, int type,
		const int64_t *stride);
	int (*v3_md_tag)(void **md, int dims, const int64_t *dim, int type, int tag);
	int (*v3_md_destroy)(void *md);
	int (*v3_matmul)(void **desc, void *engine, const void *src, const void *w,
		const void *bias, const void *dst, const void *attr);
} dnnl;

static const char *lacking; /* what keeps the library from being used, or NULL */

/* major: the version that has it, 0 for both. */
static const struct {
	void *slot;
	const char *name;
	int major;
} functions[] = {
	{&dnnl.get_effective_cpu_isa, "dnnl_get_effective_cpu_isa", 0},
	{&dnnl.engine_create, "dnnl_engine_create", 0},
	{&dnnl.stream_create, "dnnl_stream_create", 0},
	{&dnnl.stream_wait, "dnnl_stream_wait", 0},
	{&dnnl.stream_destroy, "dnnl_stream_destroy", 0},
	{&dnnl.attr_create, "dnnl_primitive_attr_create", 0},
	{&dnnl.attr_destroy, "dnnl_primitive_attr_destroy", 0},
	{&dnnl.attr_set_scratchpad_mode, "dnnl_primitive_attr_set_scratchpad_mode", 0},
	{&dnnl.attr_set_fpmath_mode, "dnnl_primitive_attr_set_fpmath_mode", 0},
	{&dnnl.desc_destroy, "dnnl_primitive_desc_destroy", 0},
	{&dnnl.desc_reorder, "dnnl_reorder_primitive_desc_create", 0},
	{&dnnl.desc_query_md, "dnnl_primitive_desc_query_md", 0},
	{&dnnl.md_get_size, "dnnl_memory_desc_get_size", 0},
	{&dnnl.primitive_create, "dnnl_primitive_create", 0},
	{&dnnl.primitive_destroy, "dnnl_primitive_destroy", 0},
	{&dnnl.primitive_execute, "dnnl_primitive_execute", 0},
	{&dnnl.memory_create, "dnnl_memory_create", 0},
	{&dnnl.memory_destroy, "dnnl_memory_destroy", 0},
	{&dnnl.v2_md_strides, "dnnl_memory_desc_init_by_strides", 2},
	{&dnnl.v2_md_tag, "dnnl_memory_desc_init_by_tag", 2},
	{&dnnl.v2_matmul, "dnnl_matmul_desc_init", 2},
	{&dnnl.v2_desc_create, "dnnl_primitive_desc_create", 2},
	{&dnnl.v3_md_strides, "dnnl_memory_desc_create_with_strides", 3},
	{&dnnl.v3_md_tag, "dnnl_memory_desc_create_with_tag", 3},
	{&dnnl.v3_md_destroy, "dnnl_memory_desc_destroy", 3},
	{&dnnl.v3_matmul, "dnnl_matmul_primitive_desc_create", 3},
};

/* POSIX has it that a pointer to a function fits one to data. */
static bool find(void *so, void *slot, const char *name)
{
	void *f = dlsym(so, name);

	memcpy(slot, &f, sizeof(f));
	return f != NULL;
}

static bool find_all(void *so)
{
	if (!find(so, &dnnl.version, "dnnl_version"))
		return false;
	dnnl.major = dnnl.version()->major;
	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if ((functions[i].major == 0 || functions[i].major == dnnl.major) &&
			!find(so, functions[i].slot, functions[i].name))
			return false;
	return dnnl.major == 2 || dnnl.major == 3;
}

static void open_library(void)
{
	void *so = dlopen("libdnnl.so.3", RTLD_NOW | RTLD_LOCAL);
	unsigned runtime;

	if (so == NULL)
		so = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
	if (so == NULL) {
		lacking = "libdnnl.so.3 or .2 cannot be loaded";
		return;
	}
	if (!find_all(so)) {
		lacking = "libdnnl is of another version";
		return;
	}
	/* One thread a call, inside ours: the OpenMP number of threads belongs to the
	 * calling thread (with one, no region is opened).  The other runtimes take
	 * theirs from elsewhere. */
	runtime = dnnl.version()->cpu_runtime;
	if (runtime != DNNL_RUNTIME_SEQ &&
		(runtime != DNNL_RUNTIME_OMP ||
			!find(so, &dnnl.omp_set_num_threads, "omp_set_num_threads")))
		lacking = "libdnnl is not built for OpenMP";
	else if (dnnl.engine_create(&dnnl.engine, DNNL_CPU, 0) != 0)
		lacking = "libdnnl has no engine for this processor";
}

static const char *library_lacks(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, open_library);
	return lacking;
}

static void one_thread(void)
{
	if (dnnl.omp_set_num_threads != NULL)
		dnnl.omp_set_num_threads(1);
}

#if defined(__x86_64__)
static bool has_bf16(void)
{
	return (dnnl.get_effective_cpu_isa() & DNNL_ISA_AVX512_BF16) == DNNL_ISA_AVX512_BF16;
}
#else
static bool has_bf16(void)
{
	return false;
}
#endif

const char *reap_gemm_onednn_bf16_lacks(const struct reap_kern *kern)
{
	const char *what = library_lacks();

	if (what != NULL)
		return what;
	return reap_kern_has_avx512(kern) && has_bf16() ? NULL : REAP_GEMM_NOT_HERE;
}

const char *reap_gemm_onednn_f32_lacks(const struct reap_kern *kern)
{
	const char *what = library_lacks();

	if (what != NULL)
		return what;
	return reap_gemm_onednn_bf16_lacks(kern) != NULL ? NULL : "bf16 is used";
}

/* ---- memory descriptors ---- */

static bool md_strides(union md *md, int type, size_t rows, size_t cols, size_t row_stride,
	size_t col_stride)
{
	const int64_t dim[2] = {(int64_t)rows, (int64_t)cols};
	const int64_t stride[2] = {(int64_t)row_stride, (int64_t)col_stride};

	if (dnnl.major == 2)
		return dnnl.v2_md_strides(md->v2, 2, dim, type, stride) == 0;
	return dnnl.v3_md_strides(&md->v3, 2, dim, type, stride) == 0;
}

static bool md_any(union md *md, int type, size_t rows, size_t cols)
{
	const int64_t dim[2] = {(int64_t)rows, (int64_t)cols};

	if (dnnl.major == 2)
		return dnnl.v2_md_tag(md->v2, 2, dim, type, DNNL_TAG_ANY) == 0;
	return dnnl.v3_md_tag(&md->v3, 2, dim, type, DNNL_TAG_ANY) == 0;
}

static const void *md_of(const union md *md)
{
	return dnnl.major == 2 ? (const void *)md->v2 : md->v3;
}

static void md_drop(union md *md)
{
	if (dnnl.major == 3 && md->v3 != NULL)
		dnnl.v3_md_destroy(md->v3);
}

/* ---- primitives ---- */

/* Rows of the largest piece.  Its weights' layout is that of all pieces. */
enum { PIECE = 64 };

struct key {
	size_t m, n, k, ldc;
	bool bf16;
};

struct product {
	struct key key;
	struct product *next;
	void *desc, *primitive;
	union md src, dst;
	const void *weights, *scratchpad; /* descriptors that desc owns */
	size_t scratch;                   /* bytes */
	/* Of a largest piece: from (n, k) as it is stored to the layout of weights. */
	union md plain;
	void *reorder_desc, *reorder;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct product *products;

static size_t elem(bool bf16)
{
	return bf16 ? sizeof(uint16_t) : sizeof(float);
}

/* More than any blocked layout pads to. */
static size_t weights_bytes(bool bf16, size_t n, size_t k)
{
	return (n + 63) / 64 * 64 * ((k + 63) / 64 * 64) * elem(bf16);
}

/* Bytes of a row of inputs. */
static size_t row_bytes(const struct key *key)
{
	return reap_operand_bytes(key->bf16 ? REAP_OP_BF16 : REAP_OP_F32, key->k);
}

static bool make_attr(void **attr)
{
	return dnnl.attr_create(attr) == 0 &&
		dnnl.attr_set_scratchpad_mode(*attr, DNNL_SCRATCHPAD_USER) == 0 &&
		dnnl.attr_set_fpmath_mode(*attr, DNNL_FPMATH_STRICT) == 0;
}

static bool make_matmul(struct product *p, const void *weights)
{
	struct matmul_desc op;
	void *attr = NULL;
	bool good = make_attr(&attr);

	if (good && dnnl.major == 2)
		good = dnnl.v2_matmul(&op, md_of(&p->src), weights, NULL, md_of(&p->dst)) == 0 &&
			dnnl.v2_desc_create(&p->desc, &op, attr, dnnl.engine, NULL) == 0;
	else if (good)
		good = dnnl.v3_matmul(&p->desc, dnnl.engine, md_of(&p->src), weights, NULL,
			       md_of(&p->dst), attr) == 0;
	if (attr != NULL)
		dnnl.attr_destroy(attr);
	if (!good || (p->weights = dnnl.desc_query_md(p->desc, DNNL_QUERY_WEIGHTS_MD, 0)) == NULL ||
		(p->scratchpad = dnnl.desc_query_md(p->desc, DNNL_QUERY_SCRATCHPAD_MD, 0)) == NULL)
		return false;
	p->scratch = dnnl.md_get_size(p->scratchpad);
	return dnnl.primitive_create(&p->primitive, p->desc) == 0;
}

static bool make_reorder(struct product *p)
{
	const struct key *key = &p->key;
	int type = key->bf16 ? DNNL_BF16 : DNNL_F32;
	void *attr = NULL;
	bool good;

	if (dnnl.md_get_size(p->weights) > weights_bytes(key->bf16, key->n, key->k))
		return false;
	good = md_strides(&p->plain, type, key->k, key->n, 1, key->k) && make_attr(&attr) &&
		dnnl.desc_reorder(&p->reorder_desc, md_of(&p->plain), dnnl.engine, p->weights,
			dnnl.engine, attr) == 0 &&
		dnnl.primitive_create(&p->reorder, p->reorder_desc) == 0;
	if (attr != NULL)
		dnnl.attr_destroy(attr);
	return good;
}

static void drop(struct product *p)
{
	if (p->reorder != NULL)
		dnnl.primitive_destroy(p->reorder);
	if (p->reorder_desc != NULL)
		dnnl.desc_destroy(p->reorder_desc);
	if (p->primitive != NULL)
		dnnl.primitive_destroy(p->primitive);
	if (p->desc != NULL)
		dnnl.desc_destroy(p->desc);
	md_drop(&p->src);
	md_drop(&p->dst);
	md_drop(&p->plain);
	free(p);
}

static bool same(const struct key *a, const struct key *b)
{
	return a->m == b->m && a->n == b->n && a->k == b->k && a->ldc == b->ldc &&
		a->bf16 == b->bf16;
}

/* The key of the product whose weights' layout slabs of n columns have. */
static struct key layout_key(bool bf16, size_t n, size_t k)
{
	return (struct key){.m = PIECE, .n = n, .k = k, .ldc = reap_tile_stride(n), .bf16 = bf16};
}

/* The product of a key, made when it is not there; NULL when it cannot be.  With
 * the lock held. */
static const struct product *get_locked(const struct key *key)
{
	struct key first = layout_key(key->bf16, key->n, key->k);
	bool leads = same(&first, key), good;
	int type = key->bf16 ? DNNL_BF16 : DNNL_F32;
	const struct product *leader = NULL;
	union md any = {.v3 = NULL};
	struct product *p;

	for (p = products; p != NULL; p = p->next)
		if (same(&p->key, key))
			return p;
	if (!leads && (leader = get_locked(&first)) == NULL)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->key = *key;
	good = md_strides(&p->src, type, key->m, key->k, row_bytes(key) / elem(key->bf16), 1) &&
		md_strides(&p->dst, DNNL_F32, key->m, key->n, key->ldc, 1);
	if (good && leads)
		good = md_any(&any, type, key->k, key->n) && make_matmul(p, md_of(&any)) &&
			make_reorder(p);
	else if (good)
		good = make_matmul(p, leader->weights);
	md_drop(&any);
	if (!good) {
		drop(p);
		return NULL;
	}
	p->next = products;
	products = p;
	return p;
}

static const struct product *get(const struct key *key)
{
	const struct product *p;

	pthread_mutex_lock(&lock);
	p = get_locked(key);
	pthread_mutex_unlock(&lock);
	return p;
}

/* Run a primitive over n arguments. */
static bool execute(const void *primitive, int n, const int *arg, const void *const *md,
	const void *const *data)
{
	struct dnnl_arg args[4];
	void *stream = NULL;
	int made = 0;
	bool good = dnnl.stream_create(&stream, dnnl.engine, DNNL_STREAM_IN_ORDER) == 0;

	for (; good && made < n; made++) {
		/* The interface takes what it only reads without const. */
		void *handle;

		memcpy(&handle, &data[made], sizeof(handle));
		args[made].arg = arg[made];
		good = dnnl.memory_create(&args[made].memory, md[made], dnnl.engine, handle) == 0;
		if (!good)
			break;
	}
	good = good && dnnl.primitive_execute(primitive, stream, n, args) == 0 &&
		dnnl.stream_wait(stream) == 0;
	while (made > 0)
		dnnl.memory_destroy(args[--made].memory);
	if (stream != NULL)
		dnnl.stream_destroy(stream);
	return good;
}

/* ---- the backend ---- */

enum { SLAB = 256, ROWS = 1024 };

/* Rows of weights while they are packed; a scratchpad takes less. */
static size_t work_bytes(bool bf16, size_t max_k)
{
	return SLAB * max_k * elem(bf16);
}

static void pack(bool bf16, void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	static const int arg[] = {DNNL_ARG_SRC, DNNL_ARG_DST};
	struct key key = layout_key(bf16, n, w->k);
	void *rows = reap_alloc_aligned(n * w->k, elem(bf16));
	const struct product *p;
	bool good = false;

	one_thread();
	if (rows != NULL && (p = get(&key)) != NULL) {
		const void *md[] = {md_of(&p->plain), p->weights}, *data[] = {rows, slab};

		if (bf16)
			reap_weight_to_bf16(rows, w, n0, n, kern);
		else
			reap_weight_to_f32(rows, w->k, w, n0, n, 0, w->k, kern);
		good = execute(p->reorder, 2, arg, md, data);
	}
	free(rows);
	if (!good)
		memset(slab, 0xff, weights_bytes(bf16, n, w->k));
}

static bool multiply_piece(const struct key *key, float *c, const void *a, const void *slab)
{
	static const int arg[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST,
		DNNL_ARG_SCRATCHPAD};
	const struct product *p = get(key);
	void *scratch = NULL;
	bool good = p != NULL;

	if (good && p->scratch > 0)
		good = (scratch = reap_alloc_aligned(p->scratch, 1)) != NULL;
	if (good) {
		const void *md[] = {md_of(&p->src), p->weights, md_of(&p->dst), p->scratchpad};
		const void *data[] = {a, slab, c, scratch};

		good = execute(p->primitive, scratch != NULL ? 4 : 3, arg, md, data);
	}
	free(scratch);
	return good;
}

static void multiply(bool bf16, float *c, size_t ldc, const void *a, const void *slab, size_t m,
	size_t n, size_t k)
{
	struct key key = {.n = n, .k = k, .ldc = ldc, .bf16 = bf16};
	const uint8_t *from = a;
	size_t done = 0;

	one_thread();
	for (key.m = PIECE; key.m > 0; key.m /= 2)
		for (; m - done >= key.m; done += key.m) {
			float *to = c + done * ldc;

			if (multiply_piece(&key, to, from + done * row_bytes(&key), slab))
				continue;
			for (size_t i = 0; i < key.m; i++)
				memset(to + i * ldc, 0xff, n * sizeof(float));
		}
}

static size_t bf16_slab_bytes(size_t n, size_t k)
{
	return weights_bytes(true, n, k);
}

static size_t bf16_work_bytes(size_t max_k)
{
	return work_bytes(true, max_k);
}

static void bf16_pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	pack(true, slab, w, n0, n, kern);
}

static void bf16_multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	(void)kern;
	multiply(true, c, ldc, a, slab, m, n, k);
}

static size_t f32_slab_bytes(size_t n, size_t k)
{
	return weights_bytes(false, n, k);
}

static size_t f32_work_bytes(size_t max_k)
{
	return work_bytes(false, max_k);
}

static void f32_pack(void *slab, const struct reap_weight *w, size_t n0, size_t n,
	const struct reap_kern *kern)
{
	pack(false, slab, w, n0, n, kern);
}

static void f32_multiply(float *c, size_t ldc, const void *a, const void *slab, size_t m, size_t n,
	size_t k, const struct reap_kern *kern)
{
	(void)kern;
	multiply(false, c, ldc, a, slab, m, n, k);
}

#if defined(__x86_64__)
#define ATTENTION &reap_gemm_i16_avx512vnni
#else
#define ATTENTION NULL
#endif

const struct reap_gemm reap_gemm_onednn_bf16 = {
	.name = "onednn",
	.operand = REAP_OP_BF16,
	.attention = ATTENTION,
	.by_block = true,
	.slab = SLAB,
	.rows = ROWS,
	.slab_bytes = bf16_slab_bytes,
	.work_bytes = bf16_work_bytes,
	.pack = bf16_pack,
	.multiply = bf16_multiply,
};

const struct reap_gemm reap_gemm_onednn_f32 = {
	.name = "onednn",
	.operand = REAP_OP_F32,
	.by_block = true,
	.slab = SLAB,
	.rows = ROWS,
	.slab_bytes = f32_slab_bytes,
	.work_bytes = f32_work_bytes,
	.pack = f32_pack,
	.multiply = f32_multiply,
};
