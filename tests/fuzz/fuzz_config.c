/* SPDX-License-Identifier: MIT
 *
 * Any text as config.json: parsed, digested, and edited as a rewrite does.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/json.h"
#include "lib/model/config.h"
#include "lib/model/config_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reap_err e = {0};
	struct reap_config cfg = {0};
	char hex[REAP_SHA256_HEX], *edited;
	struct reap_digest *h;
	size_t len;
	json_t *root;

	if (reap_json_parse((const char *)data, size, "c", &root, &e) != REAP_OK)
		return 0;
	if (reap_config_parse(&cfg, root, "c", &e) == REAP_OK &&
		reap_config_settle(&cfg, "c", cfg.experts, cfg.format, &e) == REAP_OK) {
		if (cfg.top_k == 0 || cfg.top_k > cfg.experts || cfg.heads % cfg.kv_heads != 0 ||
			!(cfg.rope_theta > 1))
			abort();
		for (uint32_t l = 0; l < cfg.layers; l++)
			if (cfg.sliding[l] && cfg.window == 0)
				abort();
		h = reap_sha256_open();
		reap_config_digest(&cfg, h);
		reap_digest_finish(h, hex);
		if (reap_config_edit((const char *)data, size, "c",
			    &(struct reap_config_change){cfg.arch, {4, 2, 0}, true}, &edited, &len,
			    &e) == REAP_OK)
			free(edited);
	}
	reap_config_free(&cfg);
	json_decref(root);
	return 0;
}
