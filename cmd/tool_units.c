/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "cmd/tool.h"

/* Three digits in the largest unit that leaves at least 1. */
static void put_scaled(char *out, size_t size, double v, double step, const char *const *unit)
{
	for (; v >= step && unit[1] != NULL; unit++)
		v /= step;
	snprintf(out, size, "%.*f %s",
		v >= 100 || v == (double)(uint64_t)v ? 0
			: v >= 10                    ? 1
						     : 2,
		v, *unit);
}

/* 1234567 as "1,234,567". */
static void put_grouped(char *out, size_t size, double v)
{
	char digits[32];
	int n = snprintf(digits, sizeof(digits), "%.0f", v);
	size_t at = 0;

	for (int i = 0; i < n && at + 2 < size; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
}

static void put_time(char *out, size_t size, double v)
{
	if (v < 100)
		snprintf(out, size, "%.1f s", v);
	else if (v < 6000)
		snprintf(out, size, "%.0f min", v / 60);
	else
		snprintf(out, size, "%.1f h", v / 3600);
}

void tool_figure(char *out, size_t size, double v, enum tool_unit unit)
{
	static const char *const bytes[] = {"bytes", "KiB", "MiB", "GiB", "TiB", NULL};
	static const char *const flop[] = {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP",
		"EFLOP", NULL};

	switch (unit) {
	case TOOL_COUNT:
		put_grouped(out, size, v);
		break;
	case TOOL_BYTES:
		put_scaled(out, size, v, 1024, bytes);
		break;
	case TOOL_FLOP:
		put_scaled(out, size, v, 1000, flop);
		break;
	case TOOL_SECONDS:
		put_time(out, size, v);
		break;
	}
}
