/* SPDX-License-Identifier: MIT
 *
 * Files of the sources that are part of the programs, as text: the Makefile says which.
 */
#ifndef REAP_EMBEDDED_H
#define REAP_EMBEDDED_H

extern const char reap_table_py[];                 /* lib/text/table.py */
extern const char reap_template_py[];              /* lib/text/template.py */
extern const char reap_near_lossless_gates_json[]; /* recipes/near_lossless_gates.json */

#endif
