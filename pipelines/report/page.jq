# SPDX-License-Identifier: MIT
#
# The page of a report, from the JSON of reap-report.  `page` gives it $css
# and $figure: {NAME: {light, dark}}, as data URIs.  Whatever comes from outside
# goes through `h`.

# ---- words and numbers ----

def h: tostring | @html;
def digits($n): if . == null then "–" else
	(if . < 0 then "−" else "" end) as $sign | fabs * pow(10; $n) | round | tostring |
	if $n == 0 then $sign + . else
		("0" * ([$n + 1 - length, 0] | max) // "") + . | $sign + .[:-$n] + "." + .[-$n:] end end;
def signed($n): if . == null then "–" elif . >= 0 then "+" + digits($n) else digits($n) end;
def interval($n): if . == null then "–" else "\(.[0] | signed($n)) … \(.[1] | signed($n))" end;
def grouped: if . == null then "–" else
	tostring | [range(length; 0; -3) as $i | .[([$i - 3, 0] | max):$i]] | reverse | join(",") end;
def len: if . == 0 then "rows" else tostring end;
def unit($names): if . == null then "–" elif . >= 1e9 then "\(. / 1e9 | digits(2)) \($names[2])"
	elif . >= 1e6 then "\(. / 1e6 | digits(1)) \($names[1])" else "\(. / 1e3 | digits(0)) \($names[0])" end;
def bytes: unit(["kB", "MB", "GB"]);
def count: unit(["thousand", "million", "billion"]);
# The share of intervals that hold the truth.
def level: (.verdict.look.level // 0.95) * 1e4 | round / 100 | "\(.)%";
# A token, so that a blank and a line's end can be seen.
def shown: h | gsub("\n"; "⏎") | gsub("\t"; "⇥") | gsub("\r"; "␍");
def token: if test("^\\s*$") then shown | gsub(" "; "␣") | gsub("\u00a0"; "⍽") else shown end;

# ---- pieces ----

# Rows of cells that are HTML already.  "n:" before a heading: numbers, "t:": text.
def table($heads): ($heads | map({class: (if startswith("n:") then " class=n" elif startswith("t:") then " class=text" else "" end),
		text: ltrimstr("n:") | ltrimstr("t:")})) as $columns |
	"<div class=wide><table><thead><tr>" + ([$columns[] | "<th\(.class)>\(.text)</th>"] | join("")) + "</tr></thead><tbody>\n" +
	([.[] | "<tr>" + ([range(length) as $i | "<td\($columns[$i].class)>\(.[$i])</td>"] | join("")) + "</tr>"] | join("\n")) +
	"\n</tbody></table></div>";

def figure($name; $alt; $caption): if $figure[$name] == null then "" else
	"<figure class=\($name)><picture><source media=\"screen and (prefers-color-scheme: dark)\" srcset=\"\($figure[$name].dark)\">" +
	"<img alt=\"\($alt)\" src=\"\($figure[$name].light)\"></picture><figcaption>\($caption)</figcaption></figure>\n" end;

def gained: if .gained == null then "" else .gained as $g |
	def line($name; $key; f): $g[$key] as [$a, $b] | [$name, ($a | f), ($b | f),
		(if $a != null and $b != null and $a > 0 then "\(100 * ($b / $a - 1) | signed(1))%" else "–" end)];
	"<h2>What was gained</h2>" + ([
		line("experts in each layer"; "experts"; if . == null then "–" else digits(0) end),
		line("size of the weights"; "bytes"; bytes),
		line("memory to run it, with \($g.context | grouped) tokens of context"; "memory"; bytes),
		line("parameters"; "parameters"; count),
		line("parameters that a token uses"; "active"; count)
	] | table(["", "n:before", "n:after", "n:change"])) end;

def lost: .verdict as $v | level as $level | "<h2>What was lost</h2>\n" +
	figure("lost"; "each figure as percent of its limit"; "Each judged figure as percent of its limit, with its \($level) interval. The whole bar must lie on the near side of the orange line.") +
	# What fits on a phone comes first.
	([$v.checks[] | [(.figure | h), "<span class=\(.verdict)>\(.verdict | ascii_downcase)</span>", (.seq_len | len),
		(.value | signed(5)), (.interval | interval(5)), (.limit | digits(4)), (.pack | h),
		(if .more_tokens > 0 then "about \(.more_tokens | grouped) more tokens (\(.more_blocks | grouped) blocks) to decide" else "" end)]] |
		table(["figure", "verdict", "n:length", "n:value", "n:\($level) interval", "n:limit", "pack", ""])) +
	([$v.notes[] | "<p class=note>Note: \(h).</p>"] | join("\n")) + "
<dl>
<dt>pack</dt><dd>A file or folder of rows. UNION: all packs together, a row of each in turn.</dd>
<dt>dPPL</dt><dd>How much the perplexity rose. Perplexity is e to the mean −ln p: roughly, among how many tokens the model wavers.</dd>
<dt>dCC</dt><dd>How much the rate of confident conflict rose: the share of tokens where the model was sure of another token.</dd>
<dt>dmean_p</dt><dd>How much the mean probability of the right token changed.</dd>
<dt>JS2D</dt><dd>How differently the two models spread the tokens over probability and entropy: from 0, alike, to 0.69, nothing in common.</dd>
<dt>noise floor</dt><dd>The JS2D between two halves of the base model's tokens. A smaller JS2D is chance.</dd>
<dt>top-1</dt><dd>The share of tokens for which both models put the same token first.</dd>
</dl>";

def rows: level as $level | "<h2>All packs</h2>" +
	([.verdict.rows[] | [(.pack | h), (.seq_len | len), (.left.ppl | digits(4)), (.right.ppl | digits(4)),
		(.d_ppl | signed(4)), (.d_ppl_ci | interval(4)), (.d_nll | signed(5)), (.d_nll_ci | interval(5)),
		(if .top1_agreement == null then "–" else 100 * .top1_agreement | digits(2) end)]] |
		table(["pack", "n:length", "n:ppl base", "n:ppl pruned", "n:dPPL", "n:\($level) interval", "n:dNLL", "n:\($level) interval", "n:top-1, %"])) +
	([.verdict.rows[] | [(.pack | h), (.seq_len | len), (.left.mean_prob | digits(4)), (.right.mean_prob | digits(4)),
		(100 * .left.cc_rate | digits(3)), (100 * .right.cc_rate | digits(3)), (100 * .cc_at_base | digits(3)),
		(.js2d | digits(4)), (.js2d_floor_left | digits(4))]] |
		table(["pack", "n:length", "n:mean p, base", "n:pruned", "n:CC, base, %", "n:pruned", "n:at base thresholds", "n:JS2D", "n:its noise floor"]));

def where: "\(.row.pack | h) at \(.row.seq_len | len)";

def parts: if $figure.packs == null then "" else "<h2>Where it lost</h2>\n" +
	figure("packs"; "loss by pack"; "Mean difference of −ln p of a token, the same tokens through both models, with \(level) intervals. Right of zero the pruned model is worse.") +
	"<div class=row>" + figure("channels"; "loss by channel"; "By channel, \(where).") +
	figure("positions"; "loss by position"; "By position in the block, \(where).") + "</div>" end;

def maps: "<h2>Probability and entropy</h2>\n<div class=row>" +
	figure("map_base"; "tokens by probability and entropy, base"; "The base model, \(where). Dotted: its thresholds; below and left of both is confident conflict.") +
	figure("map_pruned"; "the same, pruned"; "The pruned model.") +
	figure("map_moved"; "the difference"; if .maps.paired then
		"Where tokens went to (blue) and came from (red). One unit is what chance would do to the tokens that moved; beyond ±3 it is hardly chance."
		else "Where there are more tokens (blue) and fewer (red)." end) + "</div>";

def worst: (.row.worst_tokens // []) as $w | if ($w | length) == 0 then "" else
	"<h2>Worst tokens</h2><p>Where \(where) lost most: the token, what came before it, and −ln p in both models.</p>" +
	([$w[] | [(.block | tostring), (.position | tostring), (.channel | h), (.nll_left | digits(3)), (.nll_right | digits(3)),
		(.nll_right - .nll_left | signed(3)),
		(if .text == null then "token \(.id)" else "\(.before | shown)<mark>\(.text | token)</mark>" end)]] |
		table(["n:block", "n:position", "channel", "n:base", "n:pruned", "n:change", "t:text"])) end;

def kept: if .kept == null then "" else "<h2>The cut</h2>\n" +
	figure("by_expert"; "score of each expert"; "Scores by <code>\(.kept.method | h)</code>: \(.kept.definition | h). Shown as multiples of the layer's mean.") +
	figure("by_rank"; "scores by rank"; "The same, best first.") +
	figure("overlap"; "other choices"; "How many of the kept experts another criterion, or half of the calibration data, would also keep.") +
	figure("sweep"; "other numbers of experts"; "The share of the scores that each number of experts drops, and the loss on \(where) where it was measured.") end;

def data: .verdict as $v | "<h2>Data</h2>" +
	([$v.rows[] | [(.pack | h), (.seq_len | len), (.split | h), (.rows_seen | grouped), (.blocks | grouped), (.tokens | grouped),
		(.left.kept_tokens | grouped), "<code>\(.rows_sha256[:16] | h)</code>"]] |
		table(["pack", "n:length", "split", "n:rows", "n:blocks", "n:tokens", "n:scored", "rows, SHA-256"])) +
	"<p class=soft>Entropy of the top \($v.settings.entropy_topk); \($v.settings.xbins)×\($v.settings.ybins) bins, " +
	"\($v.settings.prob_scale | h) p; quantile \($v.settings.cc_quantile). Models <code>\($v.left.digest[:16] | h)</code> and " +
	"<code>\($v.right.digest[:16] | h)</code>, run with \($v.left.arithmetic | h)" +
	(if $v.left.arithmetic == $v.right.arithmetic then "" else " and \($v.right.arithmetic | h)" end) + ".</p>" +
	(if .recipe_digest then "<p class=soft>Recipe <code>\(.recipe_digest | h)</code>.</p>" else "" end);

# ---- the page ----

"<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<link rel=\"icon\" href=\"data:,\">
<title>\(.verdict.verdict): \(.subject | h)</title>
<style>
\($css)</style></head><body>
<h1>\(.subject | h)</h1>
<p>\(.verdict.right.experts) experts a layer, against \(.verdict.left.model | h) with \(.verdict.left.experts).</p>
<div class=verdict><span class=\"stamp \(.verdict.verdict)\">\(.verdict.verdict)</span><span>\({
	PASS: "Every figure is within its limit, with its whole \(level) interval.",
	FAIL: "At least one figure is beyond its limit, with its whole \(level) interval.",
	UNDECIDED: "The limit of at least one figure lies within its \(level) interval: more tokens would decide."}[.verdict.verdict])</span></div>
<p class=soft>Judged by <code>\(.verdict.gates.name | h)</code>, rule \(.verdict.gates.rule | h), on the same tokens through both models.\(.verdict.look | if . == null then "" else
	" At look \(.number) of \(.of), when \(.tokens | grouped) of \(.of_tokens | grouped) tokens had been scored." end)</p>
\([.warnings[]? | "<p class=warning>Warning: of the \(.of): \(.text | h).</p>"] | join("\n"))
\(gained)
\(lost)
\(rows)
\(parts)
\(maps)
\(worst)
\(kept)
\(data)
</body></html>"
