/* SPDX-License-Identifier: MIT */
#include "lib/eval/js2d.h"

#include <math.h>

double reap_js2d(const int64_t *left, const int64_t *right, size_t bins)
{
	double total[2] = {0, 0}, kl[2] = {0, 0};

	for (size_t i = 0; i < bins; i++) {
		total[0] += (double)left[i];
		total[1] += (double)right[i];
	}
	if (total[0] <= 0 || total[1] <= 0)
		return 0;
	for (size_t i = 0; i < bins; i++) {
		double p = (double)left[i] / total[0], q = (double)right[i] / total[1];
		double m = fmax(1e-12, 0.5 * (p + q));

		if (p > 0)
			kl[0] += p * log(p / m);
		if (q > 0)
			kl[1] += q * log(q / m);
	}
	return 0.5 * kl[0] + 0.5 * kl[1];
}

double reap_js2d_slope(const struct reap_metrics *mine, const struct reap_metrics *other,
	size_t bin)
{
	double p = (double)mine->hist2d[bin] / (double)mine->kept_tokens;
	double q = (double)other->hist2d[bin] / (double)fmax(1, (double)other->kept_tokens);

	return p > 0 ? 0.5 * log(p / fmax(1e-12, 0.5 * (p + q))) : 0;
}

double reap_js2d_noise(double js2d, double halves)
{
	return fmin(fmax((halves - js2d) / (pow(2, REAP_JS2D_POWER) - 1), 0), js2d);
}
