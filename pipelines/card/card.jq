# SPDX-License-Identifier: MIT
#
# A model card, from what `card` gathers: recipe, its identity, sizes, manifest, packs,
# verdicts; $text of the verdict, $config of the model, which $was that of its source,
# whether it has $scores, and whose rows $judged it; which files
# that the recipe names are $lacking where reap is.

def millions: if . >= 1e9 then "\(. / 1e7 | round / 100) B" else "\(. / 1e4 | round / 100) M" end;
def bytes: if . >= 1e9 then "\(. / 1e7 | round / 100) GB" else "\(. / 1e4 | round / 100) MB" end;
# Names in YAML, in text and as code: whatever they hold, it is seen and does nothing.
def word: if test("^[A-Za-z][A-Za-z0-9._/-]*$") and (test("^(y|n|yes|no|on|off|true|false|null)$"; "i") | not) then . else @json end;
def line: gsub("[[:cntrl:]]+"; " ");
def plain: line | gsub("(?<c>[\\\\`*\\[\\]<>|&#~$])"; "\\\(.c)") | gsub("(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"; "\\_") |
	gsub("^(?<n>[0-9]*)(?<c>[-+.)=])"; "\(.n)\\\(.c)");
def code: line | ("`" * (1 + ([match("`+"; "g").length] | max // 0))) as $fence |
	"\($fence)\(if $fence == "`" then . else " \(.) " end)\($fence)";
def lines: map(select(. != null)) | join("\n");

input as $recipe | input as $id | input as $report | $report.gained as $size | input as $manifest | input as $packs | input as $verdicts |
$was[0] as $was | $config[0] as $config | $size.experts[1] as $keep | $manifest[0].model as $source |
($recipe.card.base_model // $recipe.model.base_model_id) as $base |

# What differs in config.json.  Of its numbers, only that of layers that predict further tokens can become 0.
[$was + $config | keys[] | {key: ., was: $was[.], now: $config[.]} | select(.was != .now)] as $changed |
any($changed[]; .now == 0) as $ahead |

# A verdict on the checkpoint, and against what it was made from?  Published scores do not say which
# model they are of.
($manifest[] | select(.t == "total") | .model_digest) as $made |
($verdicts[] | select(($source.digest != "" and .left.digest != $source.digest) or .right.digest != $made) |
	("card: the verdict is of \(.right.model) against \(.left.model), not of this checkpoint against what it was made from\n" |
		halt_error(1))),

(["---", "library_name: transformers", "license: \($recipe.card.license // "" | word)",
	($recipe.card.license_link // empty | "license_link: \(word)"),
	"pipeline_tag: text-generation",
	# Only what can be the name of a repository on the hub.
	($base | select(test("^[^/]+/[^/]+$")) | "base_model: [\(word)]"),
	"tags: [\($config.model_type), moe, \(if $size.mxfp4 then "mxfp4, " else "" end)pruning, compression, reap]",
	"---",
	# A label that was inherited may be that of another size.
	"# \($recipe.model.pruned_variant_name // $recipe.model.pruned_model_label // "" |
		if . == "" or ([match("keep([0-9]+)").captures[0].string] - ["\($keep)"]) != [] then
			"\($base) with \($keep) experts in each layer" else . end | plain)",
	($recipe.description // empty | "", plain), "",
	"| | |", "|---|---|",
	"| base model | \($base | plain) |",
	"| method | \(if $keep == $source.experts then "none: all experts are kept" else
		"experts removed by \($recipe.scoring.criterion // "the order in \($recipe.source.scores_yaml)" | code | gsub("\\|"; "\\|")); no fine-tuning" end) |",
	if $recipe.profiling_data.precision == "fast" or $manifest[0].precision == "i8" then
		"| scores | from a fast calibration (i8), with the inputs of experts rounded to 8 bits |" else empty end,
	"| experts in each layer | \($keep) of \($source.experts) |",
	"| experts per token | \($size.top_k[1]) |",
	"| layers | \($size.layers[1]) |",
	"| parameters, in all and per token | \($size.parameters[1] | millions) and \($size.active[1] | millions) |",
	"| size of the weights | \($size.bytes[1] | bytes) |",
	"| context | \($size.positions[1]) tokens |"] | lines),

"\n## Quality\n",
if $text != "" then
	"Against the base model on the same tokens ([`verdict.md`](verdict.md) has the whole comparison):\n\n```\n\($text)```"
elif $verdicts != [] then
	"Against the base model on the same tokens: see [`verdict.md`](verdict.md)."
else "Not evaluated yet." end,
($report.warnings[] | select(.of == "evaluation") | "\n**Warning:** of the evaluation: \(.text | plain)"),

"\n## Calibration\n",
if $packs != [] then
	"| pack | rows | tokens | tokens that counted | part |", "|---|---:|---:|---:|---|",
	($packs[] | "| \(.pack | plain) | \(.rows_seen) | \(.tokens) | \(.kept) | \(.split) |"),
	($report.warnings[] | select(.of == "calibration") | "\n**Warning:** \(.text | plain)"),
	if $judged != "" and all($report.warnings[]; .shared_rows == null) then
		"\nNone of the evaluation's rows is among them." else empty end
elif $recipe.source.scores_yaml then
	"There was none: the experts were chosen by the scores in `reap-scores.yaml` (\($recipe.source.scores_yaml | plain))."
else "None: nothing was dropped." end,

"
## Use

The files are those of any \(if $config.model_type == "gpt_oss" then "GPT-OSS" else $config.model_type end) checkpoint. \($changed |
	if . == [] then "`config.json` is as it was." else "In `config.json` only this differs:\n\(
		map("\(.key | code)\(if [.was, .now] | all(type == "number") then " (\(.was) before, \(.now) now)" else "" end)") |
		join(", ")).\(if $ahead then "\nLayers that predict further tokens are left out." else "" end)" end)

```
vllm serve .
python3 -c 'from transformers import pipeline; print(pipeline(\"text-generation\", \".\")(\"Hello\"))'
```",
if $config.model_type == "gpt_oss" and ($keep % 4 != 0 or $keep <= 4) then "\nGPU kernels for MXFP4 refuse \($keep) experts; CPU runtimes load the model." else empty end,

"
## Limits

- The model was not fine-tuned after pruning. Languages, domains and tasks that the calibration rows lack may have lost more than the verdict shows.",
($recipe.card.limits // [] | .[] | "- \(line)"),

"
## How it was made

reap \($manifest[0].history[-1].version // "") made it from the recipe \($id | code):

```
reap-run reap-recipe.yaml MODELS=DIR PACKS=DIR OUT=DIR
```
\(if $lacking == [] then "" else "\nBeside it must lie what it names: \($lacking | map(code) | join(", ")).\n" end)
The same version makes the same weights of it\(if $packs == [] then "" else
	", if the calibration runs with the same arithmetic (`reap-route --version` names it); other arithmetic may choose otherwise between experts of nearly the same score" end).\(
[$verdicts[].left.arithmetic] | unique | if length == 1 then "\nIt was evaluated with \(.[0] | code)." else "" end)

| file | what it is |
|---|---|
| `reap-recipe.yaml` | the complete recipe |
| `expert_mapping.json` | for each layer, the old number of each expert |",
if $scores != "" then "| `reap-scores.yaml` | score and statistics of every expert, to cut the base model to another size |" else empty end,
"| `SHA256SUMS` | `sha256sum -c SHA256SUMS` checks all files |

REAP: Router-weighted Expert Activation Pruning, arXiv:2510.13999."
