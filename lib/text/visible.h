/* SPDX-License-Identifier: MIT
 *
 * Text so that all of it can be seen, on one line.
 */
#ifndef REAP_VISIBLE_H
#define REAP_VISIBLE_H

#include <stdbool.h>
#include <stddef.h>

/* The n bytes of valid UTF-8 to `out`, which has room for 3 n; returns how many.  Line ends and
 * tabs become signs, and so do characters that would act on a terminal or change the order of the
 * text.  A `token` of nothing but blanks becomes signs for them. */
size_t reap_visible(const char *s, size_t n, bool token, char *out);

#endif
