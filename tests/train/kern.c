/* SPDX-License-Identifier: MIT */
/*
 * Kernels of the training programs: the parts of a GPT-OSS layer where plain
 * PyTorch operations on a CPU spend most of their time.  Compiled by the
 * Makefile to a shared object and called through ctypes (model.py).
 *
 * Every function runs in one thread, so the order of each sum is fixed and a
 * run can be repeated byte for byte.  All arrays are dense, row-major float32
 * unless their type says otherwise.
 *
 * This is no part of the product, whose kernels must give the same bits at
 * every instruction set.  These are compiled for one instruction set and with
 * -ffast-math: they are the same on a machine of one kind only.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>
#undef I /* cblas.h brings in complex.h */

#define SWIGLU_ALPHA 1.702f
#define SWIGLU_LIMIT 7.0f

/* Query rows handled at a time: a block of scores then fits the cache. */
#define QUERY_ROWS 64

/* c[m][n] = a[m][k] b[n][k]^T, plus c if add. */
static void mul_nt(int m, int n, int k, const float *a, int lda, const float *b, int ldb, float *c,
	int ldc, int add)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0f, a, lda, b, ldb,
		add ? 1.0f : 0.0f, c, ldc);
}

/* c[m][n] = a[m][k] b[k][n], plus c if add. */
static void mul_nn(int m, int n, int k, const float *a, int lda, const float *b, int ldb, float *c,
	int ldc, int add)
{
	cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a, lda, b, ldb,
		add ? 1.0f : 0.0f, c, ldc);
}

/* c[m][n] = a[k][m]^T b[k][n], plus c if add. */
static void mul_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb, float *c,
	int ldc, int add)
{
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, k, 1.0f, a, lda, b, ldb,
		add ? 1.0f : 0.0f, c, ldc);
}

/* ---- experts ---------------------------------------------------------- */

/* Each row of pre is I gate values, then I up values. */
static void swiglu_forward(const float *restrict pre, float *restrict act, int rows, int I)
{
	for (int r = 0; r < rows; r++) {
		const float *gate = pre + (size_t)r * 2 * I, *up = gate + I;
		float *out = act + (size_t)r * I;

		for (int i = 0; i < I; i++) {
			float g = fminf(gate[i], SWIGLU_LIMIT);
			float u = fminf(fmaxf(up[i], -SWIGLU_LIMIT), SWIGLU_LIMIT);
			float s = 1.0f / (1.0f + expf(-SWIGLU_ALPHA * g));

			out[i] = (u + 1.0f) * g * s;
		}
	}
}

static void swiglu_backward(const float *restrict pre, const float *restrict g_act,
	float *restrict g_pre, int rows, int I)
{
	for (int r = 0; r < rows; r++) {
		const float *gate = pre + (size_t)r * 2 * I, *up = gate + I;
		const float *d = g_act + (size_t)r * I;
		float *d_gate = g_pre + (size_t)r * 2 * I, *d_up = d_gate + I;

		for (int i = 0; i < I; i++) {
			float g = fminf(gate[i], SWIGLU_LIMIT);
			float u = fminf(fmaxf(up[i], -SWIGLU_LIMIT), SWIGLU_LIMIT);
			float s = 1.0f / (1.0f + expf(-SWIGLU_ALPHA * g));
			float ds = s + g * SWIGLU_ALPHA * s * (1.0f - s);
			int inside = up[i] < SWIGLU_LIMIT && up[i] > -SWIGLU_LIMIT;

			d_gate[i] = gate[i] < SWIGLU_LIMIT ? d[i] * (u + 1.0f) * ds : 0.0f;
			d_up[i] = inside ? d[i] * g * s : 0.0f;
		}
	}
}

/*
 * Sort the n selections (token-major, k per token) by expert.  order[p] is
 * the selection at sorted place p, place[] its inverse, and expert e owns the
 * places start[e] .. start[e + 1] - 1.
 */
void group_by_expert(int n, int E, const int64_t *expert, int *order, int *place, int *start)
{
	int *next = calloc((size_t)E + 1, sizeof(*next));

	for (int i = 0; i < n; i++)
		next[expert[i] + 1]++;
	for (int e = 0; e < E; e++)
		next[e + 1] += next[e];
	memcpy(start, next, sizeof(*next) * ((size_t)E + 1));
	for (int i = 0; i < n; i++) {
		int p = next[expert[i]]++;

		order[p] = i;
		place[i] = p;
	}
	free(next);
}

/*
 * x[T][H] -> out[T][H], out = sum over the K selections of gate * expert(x).
 * in, pre, act and y are kept for the backward pass, in sorted order.
 */
void moe_forward(int T, int H, int I, int E, int K, const float *x, const int *order,
	const int *place, const int *start, const float *w1, const float *b1, const float *w2,
	const float *b2, const float *gate, float *in, float *pre, float *act, float *y, float *out)
{
	for (int e = 0; e < E; e++) {
		int s = start[e], n = start[e + 1] - s;
		float *in_e = in + (size_t)s * H, *pre_e = pre + (size_t)s * 2 * I;
		float *act_e = act + (size_t)s * I, *y_e = y + (size_t)s * H;

		if (n == 0)
			continue;
		for (int r = 0; r < n; r++) {
			memcpy(in_e + (size_t)r * H, x + (size_t)(order[s + r] / K) * H,
				sizeof(float) * H);
			memcpy(pre_e + (size_t)r * 2 * I, b1 + (size_t)e * 2 * I,
				sizeof(float) * 2 * I);
			memcpy(y_e + (size_t)r * H, b2 + (size_t)e * H, sizeof(float) * H);
		}
		mul_nt(n, 2 * I, H, in_e, H, w1 + (size_t)e * 2 * I * H, H, pre_e, 2 * I, 1);
		swiglu_forward(pre_e, act_e, n, I);
		mul_nt(n, H, I, act_e, I, w2 + (size_t)e * H * I, I, y_e, H, 1);
	}
	for (int t = 0; t < T; t++) {
		float *o = out + (size_t)t * H;

		memset(o, 0, sizeof(float) * H);
		for (int k = 0; k < K; k++) {
			float g = gate[t * K + k];
			const float *v = y + (size_t)place[t * K + k] * H;

			for (int i = 0; i < H; i++)
				o[i] += g * v[i];
		}
	}
}

/* The g_ arrays are results (g_y, g_act, g_pre and g_in scratch). */
void moe_backward(int T, int H, int I, int E, int K, const float *g_out, const int *order,
	const int *place, const int *start, const float *w1, const float *w2, const float *gate,
	const float *in, const float *pre, const float *act, const float *y, float *g_y,
	float *g_act, float *g_pre, float *g_in, float *g_x, float *g_gate, float *g_w1,
	float *g_b1, float *g_w2, float *g_b2)
{
	size_t size1 = (size_t)2 * I * H, size2 = (size_t)H * I;

	memset(g_b1, 0, sizeof(float) * E * 2 * I);
	memset(g_b2, 0, sizeof(float) * E * H);
	for (int e = 0; e < E; e++) {
		int s = start[e], n = start[e + 1] - s;
		const float *in_e = in + (size_t)s * H;
		const float *pre_e = pre + (size_t)s * 2 * I;
		const float *act_e = act + (size_t)s * I;
		float *g_y_e = g_y + (size_t)s * H;
		float *g_act_e = g_act + (size_t)s * I;
		float *g_pre_e = g_pre + (size_t)s * 2 * I;
		float *sum1 = g_b1 + (size_t)e * 2 * I;
		float *sum2 = g_b2 + (size_t)e * H;

		if (n == 0) {
			memset(g_w1 + e * size1, 0, sizeof(float) * size1);
			memset(g_w2 + e * size2, 0, sizeof(float) * size2);
			continue;
		}
		for (int r = 0; r < n; r++) {
			int sel = order[s + r];
			const float *g = g_out + (size_t)(sel / K) * H;
			const float *v = y + (size_t)(s + r) * H;
			float *d = g_y_e + (size_t)r * H;
			float w = gate[sel], dot = 0.0f;

			for (int i = 0; i < H; i++) {
				dot += g[i] * v[i];
				d[i] = w * g[i];
				sum2[i] += d[i];
			}
			g_gate[sel] = dot;
		}
		mul_tn(H, I, n, g_y_e, H, act_e, I, g_w2 + e * size2, I, 0);
		mul_nn(n, I, H, g_y_e, H, w2 + e * size2, I, g_act_e, I, 0);
		swiglu_backward(pre_e, g_act_e, g_pre_e, n, I);
		for (int r = 0; r < n; r++) {
			const float *d = g_pre_e + (size_t)r * 2 * I;

			for (int i = 0; i < 2 * I; i++)
				sum1[i] += d[i];
		}
		mul_tn(2 * I, H, n, g_pre_e, 2 * I, in_e, H, g_w1 + e * size1, H, 0);
		mul_nn(n, H, 2 * I, g_pre_e, 2 * I, w1 + e * size1, H, g_in + (size_t)s * H, H, 0);
	}
	for (int t = 0; t < T; t++) {
		float *o = g_x + (size_t)t * H;

		memset(o, 0, sizeof(float) * H);
		for (int k = 0; k < K; k++) {
			const float *g = g_in + (size_t)place[t * K + k] * H;

			for (int i = 0; i < H; i++)
				o[i] += g[i];
		}
	}
}

/* ---- attention -------------------------------------------------------- */

/*
 * The keys that a block of queries i0 .. i0 + rows - 1 may see: lo .. hi - 1.
 * window 0 means full attention.
 */
struct span {
	int rows, lo, hi;
};

static struct span visible_span(int i0, int S, int window)
{
	struct span v;

	v.rows = S - i0 < QUERY_ROWS ? S - i0 : QUERY_ROWS;
	v.hi = i0 + v.rows;
	v.lo = window && i0 - window + 1 > 0 ? i0 - window + 1 : 0;
	return v;
}

/* First key that query i sees: exactly `window` keys, itself included. */
static int first_key(int i, int window)
{
	return window && i - window + 1 > 0 ? i - window + 1 : 0;
}

/*
 * q, out [B][S][NH][D]; k, v [B][S][KV][D]; lse [B][NH][S] gets the logarithm
 * of each softmax denominator.  The sink is a logit without a value and is
 * not scaled.
 */
void attention_forward(int B, int S, int NH, int KV, int D, int window, float scale, const float *q,
	const float *k, const float *v, const float *sink, float *out, float *lse)
{
	float *scores = malloc(sizeof(float) * QUERY_ROWS * S);
	int qs = NH * D, ks = KV * D;

	for (int bh = 0; bh < B * NH; bh++) {
		int b = bh / NH, h = bh % NH, kv = h / (NH / KV);
		const float *Q = q + (size_t)b * S * qs + h * D;
		const float *Kh = k + (size_t)b * S * ks + kv * D;
		const float *Vh = v + (size_t)b * S * ks + kv * D;
		float *O = out + (size_t)b * S * qs + h * D;

		for (int i0 = 0; i0 < S; i0 += QUERY_ROWS) {
			struct span sp = visible_span(i0, S, window);
			int n = sp.hi - sp.lo;

			mul_nt(sp.rows, n, D, Q + (size_t)i0 * qs, qs, Kh + (size_t)sp.lo * ks, ks,
				scores, n, 0);
			for (int r = 0; r < sp.rows; r++) {
				int i = i0 + r;
				int a = first_key(i, window) - sp.lo;
				int z = i - sp.lo + 1;
				float *p = scores + (size_t)r * n;
				float max = sink[h], sum = 0.0f;

				for (int j = a; j < z; j++) {
					p[j] *= scale;
					max = p[j] > max ? p[j] : max;
				}
				for (int j = a; j < z; j++) {
					p[j] = expf(p[j] - max);
					sum += p[j];
				}
				sum += expf(sink[h] - max);
				lse[(size_t)bh * S + i] = max + logf(sum);
				for (int j = 0; j < a; j++)
					p[j] = 0.0f;
				for (int j = a; j < z; j++)
					p[j] /= sum;
				for (int j = z; j < n; j++)
					p[j] = 0.0f;
			}
			mul_nn(sp.rows, D, n, scores, n, Vh + (size_t)sp.lo * ks, ks,
				O + (size_t)i0 * qs, qs, 0);
		}
	}
	free(scores);
}

void attention_backward(int B, int S, int NH, int KV, int D, int window, float scale,
	const float *q, const float *k, const float *v, const float *sink, const float *out,
	const float *lse, const float *g_out, float *g_q, float *g_k, float *g_v, float *g_sink)
{
	float *prob = malloc(sizeof(float) * QUERY_ROWS * S);
	float *ds = malloc(sizeof(float) * QUERY_ROWS * S);
	int qs = NH * D, ks = KV * D;

	memset(g_k, 0, sizeof(float) * B * S * ks);
	memset(g_v, 0, sizeof(float) * B * S * ks);
	memset(g_sink, 0, sizeof(float) * NH);
	for (int bh = 0; bh < B * NH; bh++) {
		int b = bh / NH, h = bh % NH, kv = h / (NH / KV);
		size_t qo = (size_t)b * S * qs + h * D;
		size_t ko = (size_t)b * S * ks + kv * D;
		float sink_sum = 0.0f;

		for (int i0 = 0; i0 < S; i0 += QUERY_ROWS) {
			struct span sp = visible_span(i0, S, window);
			int n = sp.hi - sp.lo;
			size_t qi = qo + (size_t)i0 * qs;
			size_t kl = ko + (size_t)sp.lo * ks;

			mul_nt(sp.rows, n, D, q + qi, qs, k + kl, ks, prob, n, 0);
			mul_nt(sp.rows, n, D, g_out + qi, qs, v + kl, ks, ds, n, 0);
			for (int r = 0; r < sp.rows; r++) {
				int i = i0 + r;
				int a = first_key(i, window) - sp.lo;
				int z = i - sp.lo + 1;
				float *p = prob + (size_t)r * n;
				float *d = ds + (size_t)r * n;
				float l = lse[(size_t)bh * S + i], dot = 0.0f;
				const float *o = out + qo + (size_t)i * qs;
				const float *g = g_out + qo + (size_t)i * qs;

				for (int c = 0; c < D; c++)
					dot += o[c] * g[c];
				for (int j = 0; j < a; j++)
					p[j] = d[j] = 0.0f;
				for (int j = a; j < z; j++) {
					p[j] = expf(p[j] * scale - l);
					d[j] = p[j] * (d[j] - dot) * scale;
				}
				for (int j = z; j < n; j++)
					p[j] = d[j] = 0.0f;
				sink_sum -= expf(sink[h] - l) * dot;
			}
			mul_nn(sp.rows, D, n, ds, n, k + kl, ks, g_q + qi, qs, 0);
			mul_tn(n, D, sp.rows, ds, n, q + qi, qs, g_k + kl, ks, 1);
			mul_tn(n, D, sp.rows, prob, n, g_out + qi, qs, g_v + kl, ks, 1);
		}
		g_sink[h] += sink_sum;
	}
	free(prob);
	free(ds);
}

/* ---- norm and loss ---------------------------------------------------- */

/* inv_rms[T] is kept for the backward pass. */
void rms_forward(int T, int H, float eps, const float *x, const float *w, float *y, float *inv_rms)
{
	for (int t = 0; t < T; t++) {
		const float *p = x + (size_t)t * H;
		float *o = y + (size_t)t * H;
		float sum = 0.0f, r;

		for (int i = 0; i < H; i++)
			sum += p[i] * p[i];
		r = inv_rms[t] = 1.0f / sqrtf(sum / H + eps);
		for (int i = 0; i < H; i++)
			o[i] = p[i] * r * w[i];
	}
}

void rms_backward(int T, int H, const float *x, const float *w, const float *inv_rms,
	const float *g_y, float *g_x, float *g_w)
{
	memset(g_w, 0, sizeof(float) * H);
	for (int t = 0; t < T; t++) {
		const float *p = x + (size_t)t * H, *g = g_y + (size_t)t * H;
		float *o = g_x + (size_t)t * H;
		float r = inv_rms[t], dot = 0.0f;

		for (int i = 0; i < H; i++) {
			dot += g[i] * w[i] * p[i];
			g_w[i] += g[i] * p[i] * r;
		}
		dot *= r * r * r / H;
		for (int i = 0; i < H; i++)
			o[i] = r * g[i] * w[i] - p[i] * dot;
	}
}

/*
 * Mean cross entropy of n rows of V logits.  The logits are replaced by the
 * gradient of that mean.
 */
double cross_entropy(int n, int V, float *logits, const int64_t *target)
{
	double total = 0.0;
	float inv_n = 1.0f / n;

	for (int r = 0; r < n; r++) {
		float *p = logits + (size_t)r * V;
		float max = p[0], at_target = p[target[r]], sum = 0.0f, c;

		for (int j = 0; j < V; j++)
			max = p[j] > max ? p[j] : max;
		for (int j = 0; j < V; j++) {
			p[j] = expf(p[j] - max);
			sum += p[j];
		}
		total += logf(sum) + max - at_target;
		c = inv_n / sum;
		for (int j = 0; j < V; j++)
			p[j] *= c;
		p[target[r]] -= inv_n;
	}
	return total / n;
}

/* ---- optimiser -------------------------------------------------------- */

/* sum[i] += add[i]; add[i] = 0 */
void add_and_clear(long n, float *restrict sum, float *restrict add)
{
	for (long i = 0; i < n; i++) {
		sum[i] += add[i];
		add[i] = 0.0f;
	}
}

double sum_of_squares(long n, const float *g)
{
	double sum = 0.0;

	for (long i = 0; i < n; i++)
		sum += (double)g[i] * g[i];
	return sum;
}

/* One AdamW step; g is scaled by g_scale first and zeroed after. */
void adamw(long n, float *restrict p, float *restrict g, float *restrict m, float *restrict v,
	float g_scale, float lr, float beta1, float beta2, float eps, float decay, float m_fix,
	float v_fix)
{
	for (long i = 0; i < n; i++) {
		float d = g[i] * g_scale;

		g[i] = 0.0f;
		m[i] = beta1 * m[i] + (1.0f - beta1) * d;
		v[i] = beta2 * v[i] + (1.0f - beta2) * d * d;
		p[i] -= lr * (m[i] * m_fix / (sqrtf(v[i] * v_fix) + eps) + decay * p[i]);
	}
}

/* ---- MXFP4 ------------------------------------------------------------ */

/* Nearest E2M1 magnitude of a >= 0, ties to even, saturating at 6. */
static float round_e2m1(float a)
{
	if (a <= 2.0f)
		return rintf(a * 2.0f) * 0.5f;
	if (a <= 4.0f)
		return rintf(a);
	a = rintf(a * 0.5f) * 2.0f;
	return a > 6.0f ? 6.0f : a;
}

/*
 * Quantise blocks of 32 values with the power of two 2^ceil(log2(max / 6)),
 * the smallest at which nothing saturates.  out gets the dequantised values;
 * codes (16 bytes a block, low nibble first) and scales (E8M0) may be NULL.
 */
void mxfp4_quantize(long blocks, const float *in, float *out, uint8_t *codes, uint8_t *scales)
{
	for (long b = 0; b < blocks; b++) {
		const float *x = in + b * 32;
		float *o = out + b * 32, max = 0.0f, step, inv_step;
		int e = -20; /* an all-zero block: any scale will do */

		for (int i = 0; i < 32; i++)
			max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
		if (max > 0.0f) {
			float f = frexpf(max / 6.0f, &e);

			if (f == 0.5f)
				e--;
			if (e < -126)
				e = -126;
		}
		step = ldexpf(1.0f, e);
		inv_step = ldexpf(1.0f, -e);
		for (int i = 0; i < 32; i++) {
			float mag = round_e2m1(fabsf(x[i]) * inv_step);
			int code;

			o[i] = (x[i] < 0.0f ? -mag : mag) * step;
			if (!codes)
				continue;
			code = mag <= 2.0f    ? (int)(mag * 2.0f)
				: mag == 3.0f ? 5
				: mag == 4.0f ? 6
					      : 7;
			if (x[i] < 0.0f && code)
				code |= 8;
			if (i % 2 == 0)
				codes[b * 16 + i / 2] = (uint8_t)code;
			else
				codes[b * 16 + i / 2] |= (uint8_t)(code << 4);
		}
		if (scales)
			scales[b] = (uint8_t)(e + 127);
	}
}
