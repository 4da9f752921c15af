#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The report: its document (reap-report), its figures (draw) and its page (page).
load helpers

GATES=recipes/near_lossless_gates.json

eval_of() {
	"$REAP_BUILD/gen/make_eval" --seq-lens 1024 --blocks 12 "$@"
}

judge() {
	reap-gate -g "$GATES" -j "$TMP/verdict.json" "$TMP/base.eval" "$TMP/pruned.eval" >/dev/null || [ $? -eq 4 ]
}

# One page that needs nothing but itself, and its figures in three forms.
check_page() {
	head -n 1 "$TMP/report.html" | grep -qx '<!DOCTYPE html>'
	tail -n 1 "$TMP/report.html" | grep -qx '</body></html>'
	run grep -E '(src|srcset|href)="?(https?:|/|[a-z]+\.)|<script' "$TMP/report.html"
	[ "$status" -eq 1 ]
	for f in "$@"; do
		head -c 8 "$TMP/report/$f.png" | cmp - <(printf '\x89PNG\r\n\x1a\n')
		for s in "$f" "$f-dark"; do
			grep -q '</svg>' "$TMP/report/$s.svg"
			base64 -w 0 <"$TMP/report/$s.svg" | grep -qFf - "$TMP/report.html"
		done
	done
	[ "$(grep -c '<figure ' "$TMP/report.html")" -eq $# ]
}

# report OPTION...: the page of the evals in $TMP.
report() {
	pipelines/report/report "$TMP/report" "$@" "$TMP/verdict.json" "$TMP/base.eval" "$TMP/pruned.eval" >"$TMP/report.html"
}

@test "standard options" {
	standard_options reap-report
}

@test "wrong usage is exit 2, missing files exit 1" {
	fails 2 "see reap-report(1)" pipelines/report/report
	fails 2 "soup" pipelines/report/report "$TMP/f" --soup x
	fails 2 "a verdict and its two evals" reap-report a b
	fails 2 "go together" reap-report --plan p v a b
	fails 2 "need --plan" reap-report --saliency p v a b
	fails 2 "of which --cut" reap-report --plan p --scores s --cut-verdict j v a b
	fails 1 "none: No such file" reap-report "$TMP/none" "$TMP/none" "$TMP/none"
	echo '{"checks":[]}' >"$TMP/v"
	fails 1 "v: is not a verdict of reap-gate" reap-report "$TMP/v" "$TMP/none" "$TMP/none"
	echo '{' >"$TMP/v"
	fails 1 "v: line" reap-report "$TMP/v" "$TMP/none" "$TMP/none"
}

@test "what was warned of stands at the head of the page" {
	echo '{"input_ids": [5, 6], "keep_mask": [0, 1]}' | reap-tokenize -q --rows '<few>=-' >"$TMP/calib" 2>/dev/null
	for f in base pruned; do
		reap-ppl -q -m "$MODEL" "$TMP/calib" >"$TMP/$f.eval"
	done
	jq '.primary_pack = "<few>"' recipes/near_lossless_gates.json >"$TMP/gates"
	GATES=$TMP/gates judge
	report --calibration "$TMP/calib" --tokens "$TMP/calib"
	jq -e '.warnings == [{of: "calibration", text: "pack <few>: only 1 row, which may not stand for other rows"},
		{of: "evaluation", text: "pack <few>: only 1 row, which may not stand for other rows"},
		{of: "evaluation", text: "1 of its 1 rows are also among those of the calibration: they are not held out", shared_rows: 1}]' "$TMP/report/report.json"
	grep -qF '<p class=warning>Warning: of the calibration: pack &lt;few&gt;: only 1 row, which may not stand for other rows.' "$TMP/report.html"
	grep -qF '<p class=warning>Warning: of the evaluation: pack &lt;few&gt;: only 1 row, which may not stand for other rows.' "$TMP/report.html"
}

# A calibration of three layers of 16 experts, cut to 12 and to 8, and the verdicts.
calibrated() {
	# Of the model that make_eval's base is.
	"$REAP_BUILD/gen/trace" 3 16 2 20 8 | reap-show | sed "s/a\{64\}/$(printf base | sha256sum | cut -c 1-64)/" |
		reap-show --encode trace >"$TMP/calib.trace"
	reap-accum "$TMP/calib.trace" >"$TMP/saliency"
	reap-rank "$TMP/saliency" >"$TMP/scores"
	reap-cut --keep-n 12 "$TMP/scores" >"$TMP/plan"
	for i in 1 2; do
		reap-accum --part $i/2 "$TMP/calib.trace" >"$TMP/half$i"
	done
	mkdir "$TMP/other"
	reap-cut --keep-n 8 "$TMP/scores" >"$TMP/other/plan"
	eval_of --experts 16 >"$TMP/base.eval"
	eval_of --experts 8 --shift 0.04 --noise 0.1 --id other >"$TMP/pruned.eval"
	judge
	mv "$TMP/verdict.json" "$TMP/pruned.eval" "$TMP/other"
	eval_of --experts 12 --shift 0.02 --noise 0.1 --id pruned >"$TMP/pruned.eval"
	judge
}

document() {
	reap-report "$@" "$TMP/verdict.json" "$TMP/base.eval" "$TMP/pruned.eval" >"$TMP/report.json"
}
is() {
	jq -e "$1" "$TMP/report.json" >/dev/null || { echo "not so: $1"; jq -c 'del(.verdict, .maps.points)' "$TMP/report.json"; return 1; }
}

@test "the document: what the verdict says, and the maps" {
	eval_of --packs a_b,UNION >"$TMP/base.eval"
	eval_of --packs a_b,UNION --shift 0.06 --noise 0.1 --id '<pruned>' >"$TMP/pruned.eval"
	judge
	document
	is '.subject == "<pruned>"'
	jq -S .verdict "$TMP/report.json" | cmp - <(jq -S . "$TMP/verdict.json")
	is '.row == (.verdict.checks[0] as $c | .verdict.rows[] | select(.pack == $c.pack and .seq_len == $c.seq_len))'
	is '.maps.points | length <= 1200'
	# Every scored token is in each map once, and what leaves a bin enters another.
	for side in 2 3; do
		is "([.maps.points[][$side]] | add) == ([.row.left, .row.right][$side - 2].kept_tokens)"
	done
	is '[.maps.points[] | select(.[2] != .[3] and .[4] == 0)] == []'
	is '[.maps.points[] | select(.[4] != null and (.[4] > 0) != (.[3] > .[2]) and .[2] != .[3])] == []'
	is 'has("kept") or has("gained") | not'
}

@test "the document: scores, other choices, and what was measured, as reap-cut has them" {
	calibrated
	document --plan "$TMP/plan" --scores "$TMP/scores" --saliency "$TMP/saliency" --half "$TMP/half1" \
		--half "$TMP/half2" --cut "$TMP/other/plan" --cut-verdict "$TMP/other/verdict.json"
	is '.kept | .keep_n == 12 and .experts == 16 and (.layers | length) == 3'
	is '.warnings == []'
	reap-show "$TMP/plan" | sed '1s/"recipe"/"precision":"i8",&/' | reap-show --encode plan >"$TMP/coarse"
	reap-report --plan "$TMP/coarse" --scores "$TMP/scores" "$TMP/verdict.json" "$TMP/base.eval" "$TMP/pruned.eval" |
		jq -e '.warnings == [{of: "calibration", text: "inputs of experts were rounded to 8 bits (REAP_GEMM=i8), which is coarser than bf16"}]'
	is '[.kept.layers[] | select((.score | add | . - 16 | fabs) > 1e-9)] == []'
	reap-show -t layer "$TMP/plan" | jq -sc '[.[] | .keep | sort]' >"$TMP/want"
	jq -c '[.kept.layers[] | .kept | to_entries | map(select(.value).key)]' "$TMP/report.json" | cmp - "$TMP/want"
	reap-show -t layer "$TMP/scores" | jq -sc '[.[] | .ranking[0]]' >"$TMP/want"
	jq -c '[.kept.layers[] | .rank | index(1)]' "$TMP/report.json" | cmp - "$TMP/want"
	# The overlap with another criterion, and the sweep, as reap-cut prints them.
	reap-rank --method reap "$TMP/saliency" >"$TMP/reap"
	reap-cut --keep-n 12 --compare "$TMP/plan" "$TMP/reap" | awk '$1 == "mean" { printf "%.2f\n", $2 }' >"$TMP/want"
	jq '.kept.overlap[] | select(.name == "reap").mean * 100 | round / 100' "$TMP/report.json" |
		xargs printf '%.2f\n' | cmp - "$TMP/want"
	reap-cut --sweep "$TMP/scores" | awk 'NR > 1 { print $1, $2, $3 }' >"$TMP/want"
	[ -s "$TMP/want" ]
	jq -r '.kept.sweep[] | [.keep_n, 1 - .mean, 1 - .most] | @tsv' "$TMP/report.json" |
		awk '{ printf "%d %.4f %.4f\n", $1, $2, $3 }' | diff - "$TMP/want"
	is '[.kept.overlap[] | select(.name | endswith("of the data"))] | length == 2'
	is '[.kept.measured[].keep_n] == [12, 8] and .kept.measured[0].d_nll == .row.d_nll'
}

@test "the document: sizes and parameters before and after, words of the worst tokens" {
	local m=$TMP/keep16
	reap-rewrite -q -m "$MODEL" -o "$m" --first 16 >"$TMP/manifest"
	head -n 30 "$PACKS/tool_agentic.eval.jsonl" | reap-tokenize -q -m "$MODEL" -l 256 -b 4 UNION=- >"$TMP/tokens"
	reap-ppl -q -m "$MODEL" --bins 20x15 "$TMP/tokens" >"$TMP/base.eval"
	reap-ppl -q -m "$m" --bins 20x15 "$TMP/tokens" >"$TMP/pruned.eval"
	reap-gate -q -g recipes/tiny_gates.json -j "$TMP/verdict.json" --tokens "$TMP/tokens" -t "$MODEL" --markdown "$TMP/verdict.md" \
		"$TMP/base.eval" "$TMP/pruned.eval" >/dev/null || [ $? -eq 4 ]
	document --source "$MODEL" --model "$m"
	is '.gained.experts == [32, 16] and .gained.mxfp4'
	# tests/fixtures/README.md: 7.2 M parameters; 16 experts of 4 layers less.
	is '.gained.parameters[0] == 7212320 and .gained.parameters[1] == 7212320 - 4 * 16 * (3 * 128 * 128 + 3 * 128 + 129)'
	jq -c .gained "$TMP/report.json" >"$TMP/gained"
	reap-report --source "$MODEL" -m "$m" | jq -c .gained | cmp - "$TMP/gained"
	is ".gained.bytes[0] == $(cat "$MODEL"/*.safetensors | wc -c)"
	is '[.row.worst_tokens[] | select(.text == null or .before == null)] == []'
	# The words are those of the tokenizer.
	local id block at
	read -r id block at < <(jq -r '.row.worst_tokens[0] | "\(.id) \(.block) \(.position)"' "$TMP/report.json")
	[ "$(reap-show -t block "$TMP/tokens" | jq "select(.index == $block).ids[$at]")" = "$id" ]
	jq -rj '.row.worst_tokens[0].text' "$TMP/report.json" >"$TMP/text"
	# They stand in verdict.md, too, where no character of theirs is one of markdown.
	jq -r '.row.worst_tokens[0].text' "$TMP/report.json" | sed 's/[[:punct:]]/\\&/g' >"$TMP/shown"
	grep -F "→ $(cat "$TMP/shown") |" "$TMP/verdict.md"
	[ "$(jq -Rs '{text: .}' "$TMP/text" | jq -c . | reap-tokenize -q -t "$MODEL/tokenizer.json" --rows --keep all - | reap-show -t block | jq -c .ids)" = "[$id]" ]
}

@test "the document: nothing of another model than those of the verdict" {
	calibrated
	local v=$TMP/verdict.json b=$TMP/base.eval p=$TMP/pruned.eval
	reap-report --plan "$TMP/plan" --scores "$TMP/scores" "$v" "$b" "$p" >/dev/null
	fails 1 "$p: model digest" reap-report "$v" "$p" "$b"
	fails 1 "$b: model digest" reap-report "$v" "$b" "$b"
	grep -q "but the verdict's pruned model has" "$TMP/fails.err"
	fails 1 "$MODEL: model digest" reap-report --source "$MODEL" "$v" "$b" "$p"
	fails 1 "$MODEL: model digest" reap-report -m "$MODEL" "$v" "$b" "$p"
	"$REAP_BUILD/gen/trace" 3 16 2 20 8 | reap-accum -q | reap-rank -q >"$TMP/other.scores"
	reap-cut -q --keep-n 12 "$TMP/other.scores" >"$TMP/other.plan"
	fails 1 "other.plan: model digest aaaaaaaaaaaaaaaa..., but the verdict's base has" reap-report --plan "$TMP/other.plan" \
		--scores "$TMP/other.scores" "$v" "$b" "$p"
}

@test "the document: nothing that was not made from the other files" {
	calibrated
	cd "$TMP"
	local of=(verdict.json base.eval pruned.eval) cut=(--plan plan --scores scores)
	# Other scores, sums, halves and cuts of the same model.
	reap-rank --method frequency saliency >frequency
	fails 1 "plan: is not a plan of the scores frequency" reap-report --plan plan --scores frequency "${of[@]}"
	fails 1 "other/plan: keeps 8 experts, but the verdict is about a model with 12" reap-report --plan other/plan --scores scores "${of[@]}"
	fails 1 "half1: not the sums that scores was made from" reap-report "${cut[@]}" --saliency half1 "${of[@]}"
	fails 2 "--half is given twice" reap-report "${cut[@]}" --half half1 "${of[@]}"
	fails 1 "half1 and saliency: of the tokens " reap-report "${cut[@]}" --half half1 --half saliency "${of[@]}"
	cp half1 half3
	fails 1 "half3: the same scores as half1" reap-report "${cut[@]}" --half half1 --half half3 "${of[@]}"
	reap-cut --keep-n 8 frequency >other/frequency
	fails 1 "other/frequency: is not a plan of the scores scores" reap-report "${cut[@]}" --cut other/frequency \
		--cut-verdict other/verdict.json "${of[@]}"
	fails 1 "other/plan: keeps 8 experts, but the verdict is about a model with 12" reap-report "${cut[@]}" --cut other/plan \
		--cut-verdict verdict.json "${of[@]}"
	# Other tokens, of calibration and of evaluation.
	echo '{"input_ids": [5, 6], "keep_mask": [0, 1]}' | reap-tokenize -q --rows UNION=- >tokens 2>"$TMP/said"
	fails 1 "tokens: scores was made from other tokens" reap-report "${cut[@]}" --calibration tokens "${of[@]}"
	fails 1 "tokens: pack UNION of length 0: the verdict is about other tokens" reap-report --tokens tokens "${of[@]}"
	# Evals of the same models that are others.
	eval_of_other() { (cd "$ROOT" && eval_of --seed 2 "$@"); }
	eval_of_other --experts 16 >base2.eval
	eval_of_other --experts 12 --shift 0.02 --noise 0.1 --id pruned >pruned2.eval
	fails 1 "base2.eval: pack UNION of length 1024: mean_nll " reap-report verdict.json base2.eval pruned2.eval
	(cd "$ROOT" && eval_of --experts 12 --shift 0.02 --noise 0.2 --id pruned) >pruned2.eval
	fails 1 "pruned2.eval: pack UNION of length 1024: mean_nll " reap-report verdict.json base.eval pruned2.eval
	# Metrics that do not follow from the tokens beside them.
	reap-show base.eval | jq -c 'if .t == "tokens" and .block == 3 then .nll[0] += 1 | .best[0] = .ids[0] + 1 else . end' |
		reap-show --encode eval >edited.eval
	fails 3 "not what its tokens make" reap-report verdict.json edited.eval pruned.eval
}

@test "a verdict that was edited is none; written otherwise, it is the same" {
	eval_of >"$TMP/base.eval"
	eval_of --shift 0.02 --noise 0.1 >"$TMP/pruned.eval"
	judge
	cp "$TMP/verdict.json" "$TMP/kept.json"
	jq -cS . "$TMP/kept.json" >"$TMP/verdict.json"
	document
	for edit in '.verdict = "PASS"' '.checks[0].value += 0.001' '.checks[0].limit += 0.001' '.rows[0].left.ppl *= 1.001' \
		'.rows[0].d_nll_ci[0] = 0' '.notes = []' '.rows[0].worst_tokens[0].id += 1' '.left.experts += 1' \
		'.rows[0].identical = true' '.rows[0] += {more: null}' 'del(.look)' '.rows += .rows'; do
		jq "$edit" "$TMP/kept.json" >"$TMP/verdict.json"
		fails 1 "verdict.json: sha256: " document
		grep -q "it was edited" "$TMP/fails.err"
	done
	jq 'del(.sha256)' "$TMP/kept.json" >"$TMP/verdict.json"
	fails 1 "verdict.json: is not a verdict of reap-gate" document
}

@test "the figures: all axes say what they are; no interval reaches beyond its axis" {
	calibrated
	document --plan "$TMP/plan" --scores "$TMP/scores" --saliency "$TMP/saliency"
	pipelines/report/draw "$TMP/report.json" "$TMP/figures"
	jq -r -f pipelines/report/figures.jq "$TMP/report.json" >"$TMP/data"
	for f in lost packs channels positions map_base map_pruned map_moved by_expert by_rank overlap sweep; do
		[ -s "$TMP/figures/$f.svg" ]
		if grep -qP "^$f.drawing\tbars$" "$TMP/data"; then
			lo=$(sed -n "s/^$f.set\tlo=//p" "$TMP/data") hi=$(sed -n "s/^$f.set\thi=//p" "$TMP/data")
			awk -F'\t' -v f=$f -v lo="$lo" -v hi="$hi" '$1 == f ".rows" { n++ } $1 == f ".rows" && ($4 < lo || $5 > hi) { bad = 1 }
				END { exit bad || n == 0 }' "$TMP/data"
		fi
		# Two labels at least: one an axis, or names down the side and one below.
		[ "$(grep -c '<text' "$TMP/figures/$f.svg")" -ge 4 ]
	done
	grep -q '% of the limit' "$TMP/figures/lost.svg"
	grep -q 'entropy of the top tokens' "$TMP/figures/map_moved.svg"
	grep -q 'probability of the token' "$TMP/figures/map_moved.svg"
}

@test "the figures: no label is cut off or overlaps another, whatever the sizes of values, models and names" {
	calibrated
	document --plan "$TMP/plan" --scores "$TMP/scores" --saliency "$TMP/saliency" --half "$TMP/half1" --half "$TMP/half2"
	while read -r times layers experts pack; do
		jq --argjson times "$times" --argjson layers "$layers" --argjson experts "$experts" --arg pack "$pack" '
			def scaled: map((.d_nll, .d_nll_ci[]?, .interval[]?) |= . * $times);
			.verdict.rows |= scaled | .row.channels |= scaled | .row.positions |= scaled | .kept.measured |= scaled |
			.verdict.checks |= map((.value, .interval[]?) |= . * $times) |
			(.verdict.rows[], .verdict.checks[]) |= (.pack = $pack | .seq_len *= 128) | .maps.points |= map(.[4] |= (. // 0) * $times) |
			.kept |= (.experts = $experts | .keep_n = $experts * 3 / 4 | .method = "weighted_ean_sum" |
				.layers = [range($layers) | {score: [range($experts) | . / $experts], rank: [range($experts) + 1],
					kept: [range($experts) | . < $experts * 3 / 4]}] |
				.overlap |= map((.mean, .least) |= . * $experts / 16 | .name |= sub("^eaft_sum"; "weighted_ean_sum")) |
				.sweep = [range($experts; 3; -4) | {keep_n: ., mean: 0.1, most: 0.2}])' "$TMP/report.json" >"$TMP/other.json"
		pipelines/report/draw "$TMP/other.json" "$TMP/figures"
		tests/labels.py "$TMP"/figures/*[a-z].svg
		rm -r "$TMP/figures"
	done <<-'END'
	0.0003 1 8 a
	0 4 32 UNION
	1 24 32 tool_agentic_10k_v6
	40 94 128 reasoning_style_10k_v6_held_out
	-7 45 256 reasoning_style_10k_v6_held_out
	END
}

@test "the page: an evaluation alone; the same model twice; evals without tokens" {
	eval_of --packs a_b,UNION >"$TMP/base.eval"
	eval_of --packs a_b,UNION --shift 0.06 --noise 0.1 --id '<pruned>' >"$TMP/pruned.eval"
	judge
	report
	check_page lost packs channels positions map_base map_pruned map_moved
	grep -q '<h1>&lt;pruned&gt;</h1>' "$TMP/report.html"
	grep -q "stamp $(jq -r .verdict "$TMP/verdict.json")" "$TMP/report.html"
	cp "$TMP/base.eval" "$TMP/pruned.eval"
	judge
	rm -r "$TMP/report"
	report
	grep -q 'stamp PASS' "$TMP/report.html"
	eval_of --no-tokens >"$TMP/base.eval"
	cp "$TMP/base.eval" "$TMP/pruned.eval"
	judge
	rm -r "$TMP/report"
	report
	check_page lost map_base map_pruned map_moved
}

@test "the page: what comes from outside is text; blanks can be seen; all scripts are there" {
	eval_of >"$TMP/base.eval"
	eval_of --shift 0.02 --noise 0.1 >"$TMP/pruned.eval"
	judge
	document
	pipelines/report/draw "$TMP/report.json" "$TMP/figures"
	jq '.subject = "<b>\"x\" & 東京" | .row.worst_tokens = [{block: 0, position: 3, channel: "<i>", id: 1, nll_left: 0, nll_right: 1,
		before: "a\nb <script>", text: " "}, {block: 0, position: 4, channel: "final", id: 1, nll_left: 0, nll_right: 1,
		before: "", text: "京🙂"}]' "$TMP/report.json" >"$TMP/odd.json"
	pipelines/report/page "$TMP/odd.json" "$TMP/figures" >"$TMP/page.html"
	grep -qF '<h1>&lt;b&gt;&quot;x&quot; &amp; 東京</h1>' "$TMP/page.html"
	grep -qF 'a⏎b &lt;script&gt;<mark>␣</mark>' "$TMP/page.html"
	grep -qF '<mark>京🙂</mark>' "$TMP/page.html"
	# A phone shows the verdict of each figure; thousands are written as in the verdict.
	grep -qF '<th>figure</th><th>verdict</th>' "$TMP/page.html"
	jq '.verdict.rows[0].tokens = 1234567' "$TMP/report.json" >"$TMP/odd.json"
	pipelines/report/page "$TMP/odd.json" "$TMP/figures" | grep -F '<td class=n>1,234,567</td>'
	run grep -E '<script|<i>|<b>' "$TMP/page.html"
	[ "$status" -eq 1 ]
}

@test "the page in a browser: nothing on the console; it fits a phone of 375 px" {
	command -v chromium >/dev/null || skip "chromium is not installed"
	eval_of >"$TMP/base.eval"
	eval_of --shift 0.02 --noise 0.1 >"$TMP/pruned.eval"
	judge
	report
	local here
	here=file://$(jq -rn --arg folder "$TMP" '$folder / "/" | map(@uri) | join("/")')
	browser() {
		timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$TMP/profile" \
			--host-resolver-rules='MAP * 0.0.0.0' --allow-file-access-from-files --enable-logging=stderr "$@"
	}
	browser --window-size=1100,3000 --screenshot="$TMP/page.png" "$here/report.html" 2>"$TMP/log" >/dev/null
	run grep CONSOLE "$TMP/log"
	[ "$status" -eq 1 ]
	[ "$(stat -c %s "$TMP/page.png")" -gt 50000 ]
	cat >"$TMP/phone.html" <<-'END'
	<iframe width=375 height=800 src=report.html></iframe>
	<script>onload = () => { const d = frames[0].document.documentElement; document.body.dataset.width = d.scrollWidth }</script>
	END
	browser --dump-dom "$here/phone.html" 2>/dev/null | grep -o 'data-width="[0-9]*"' >"$TMP/width"
	width=$(tr -dc 0-9 <"$TMP/width")
	[ "$width" -gt 300 ]
	[ "$width" -le 375 ]
}
