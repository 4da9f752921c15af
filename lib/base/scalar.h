/* SPDX-License-Identifier: MIT
 *
 * Numbers and strings as JSON and YAML, 1.1 and 1.2, read alike: the one place that
 * writes them, except for what goes through jansson.  Write errors are the caller's to
 * notice.
 */
#ifndef REAP_SCALAR_H
#define REAP_SCALAR_H

#include <stddef.h>
#include <stdio.h>

/* The shortest digits that read back as the same finite double, or float; always with a
 * point, without which YAML 1.1 takes 1e-05 for a string. */
void reap_print_f64(double v, FILE *f);
void reap_print_f32(float v, FILE *f);

/* A string in double quotes, with what either language does not take as it is escaped.
 * U+FFFD stands for bytes that are not UTF-8. */
void reap_print_quoted(const char *s, size_t n, FILE *f);

/* For YAML only: without quotes where no reader takes it for anything but this string. */
void reap_print_yaml_string(const char *s, size_t n, FILE *f);

#endif
