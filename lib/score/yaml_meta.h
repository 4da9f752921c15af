/* SPDX-License-Identifier: MIT
 *
 * What the scores of a reap-scores.yaml are of, which stands beside them.
 */
#ifndef REAP_YAML_META_H
#define REAP_YAML_META_H

#include "lib/score/yaml_fields.h"
#include "lib/stream/rec_scores.h"

/* Model, precision, recipe and history. */
REAP_MUST_CHECK int reap_yaml_model(const struct reap_yaml_doc *y, struct reap_header *h);

/* Method, thresholds, sources, pack, seed and weights. */
REAP_MUST_CHECK int reap_yaml_meta(const struct reap_yaml_doc *y, struct reap_scores *s);

#endif
