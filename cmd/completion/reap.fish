# SPDX-License-Identifier: MIT
# fish completion for the reap tools: the options come from each tool's --help.
function __reap_options
	$argv[1] --help 2>/dev/null | string match -rg -- '(--[a-z0-9][a-z0-9-]+)' | sort -u
end
for tool in reap-tokenize reap-route reap-accum reap-rank reap-cut reap-rewrite reap-ppl reap-gate reap-recipe reap-report reap-show reap-run
	complete -c $tool -n 'string match -q -- "-*" (commandline -ct)' -f -a "(__reap_options $tool)"
end
