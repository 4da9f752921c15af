#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# pipelines/report: the page and its figures.
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
	! grep -E '(src|srcset|href)="?(https?:|/|[a-z]+\.)' "$TMP/report.html" || false
	! grep -q '<script' "$TMP/report.html" || false
	for f in "$@"; do
		head -c 8 "$TMP/report/$f.png" | cmp - <(printf '\x89PNG\r\n\x1a\n')
		for s in "$f" "$f-dark"; do
			grep -q '</svg>' "$TMP/report/$s.svg"
			base64 -w 0 <"$TMP/report/$s.svg" | grep -qFf - "$TMP/report.html"
		done
	done
	[ "$(grep -c '<figure>' "$TMP/report.html")" -eq $# ]
}

# report OPTION...: the page of the evals in $TMP.
report() {
	pipelines/report --verdict "$TMP/verdict.json" --base "$TMP/base.eval" --pruned "$TMP/pruned.eval" \
		--figures "$TMP/report" "$@" >"$TMP/report.html"
}

@test "wrong usage is exit 2, missing files exit 1" {
	fails 2 "are wanted" pipelines/report
	fails 2 "--soup" pipelines/report --soup x
	fails 1 "none: no such file" pipelines/report --verdict "$TMP/none" --base "$TMP/none" --pruned "$TMP/none" \
		--figures "$TMP/figures"
}

@test "an evaluation alone: verdict, packs, maps" {
	eval_of --packs a_b,UNION >"$TMP/base.eval"
	eval_of --packs a_b,UNION --shift 0.06 --noise 0.1 --id '<pruned>' >"$TMP/pruned.eval"
	judge
	report
	check_page packs parts maps
	grep -q '<h1>&lt;pruned&gt;</h1>' "$TMP/report.html"
	grep -q "stamp $(jq -r .verdict "$TMP/verdict.json")" "$TMP/report.html"
}

@test "with scores, plan, saliency and a trace: the cut" {
	"$REAP_BUILD/gen/trace" 3 16 2 20 8 >"$TMP/calib.trace"
	reap-accum "$TMP/calib.trace" >"$TMP/saliency"
	reap-rank "$TMP/saliency" >"$TMP/scores"
	reap-cut --keep-n 12 "$TMP/scores" >"$TMP/plan"
	eval_of >"$TMP/base.eval"
	eval_of --shift 0.02 --noise 0.1 >"$TMP/pruned.eval"
	judge
	mkdir "$TMP/other"
	reap-cut --keep-n 8 "$TMP/scores" >"$TMP/other/plan"
	cp "$TMP/verdict.json" "$TMP/other/"
	for i in 1 2; do
		reap-accum --part $i/2 "$TMP/calib.trace" >"$TMP/half$i"
	done
	report --plan "$TMP/plan" --scores "$TMP/scores" --saliency "$TMP/saliency" --half "$TMP/half1" \
		--half "$TMP/half2" --cut "$TMP/other/plan" "$TMP/other/verdict.json"
	check_page packs parts maps saliency overlap sweep
}

@test "the same model twice, and evals without tokens" {
	eval_of >"$TMP/base.eval"
	cp "$TMP/base.eval" "$TMP/pruned.eval"
	judge
	report
	check_page packs parts maps
	grep -q 'stamp PASS' "$TMP/report.html"
	eval_of --no-tokens >"$TMP/base.eval"
	cp "$TMP/base.eval" "$TMP/pruned.eval"
	judge
	report
	check_page maps
}

@test "the page opens in a browser without a word on the console" {
	command -v chromium >/dev/null || skip "chromium is not installed"
	eval_of >"$TMP/base.eval"
	eval_of --shift 0.02 --noise 0.1 >"$TMP/pruned.eval"
	judge
	report
	timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$TMP/profile" \
		--host-resolver-rules='MAP * 0.0.0.0' --enable-logging=stderr --window-size=1100,3000 \
		--screenshot="$TMP/page.png" "file://$TMP/report.html" 2>"$TMP/log" >/dev/null
	! grep CONSOLE "$TMP/log" || false
	[ "$(stat -c %s "$TMP/page.png")" -gt 50000 ]
}
