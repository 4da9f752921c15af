/* SPDX-License-Identifier: MIT
 *
 * Print numbers and strings so that JSON, YAML 1.1 and YAML 1.2 read them alike.  This is the one
 * place that writes them, except for what goes through jansson.  The caller checks for write
 * errors.
 */
#ifndef REAP_SCALAR_H
#define REAP_SCALAR_H

#include <stddef.h>
#include <stdio.h>

/* The shortest digits that read back as the same finite double, or float; always with a
 * point, without which YAML 1.1 takes 1e-05 for a string. */
void reap_print_f64(double v, FILE *f);
void reap_print_f32(float v, FILE *f);

/* A string in double quotes; what either language does not take as it is, is escaped.  U+FFFD
 * stands for bytes that are not UTF-8. */
void reap_print_quoted(const char *s, size_t n, FILE *f);

/* For YAML only: a string without quotes if every reader takes it for this string, else in
 * quotes. */
void reap_print_yaml_string(const char *s, size_t n, FILE *f);

#endif
