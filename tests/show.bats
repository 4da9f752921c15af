#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-show: streams as JSON lines, as a summary, and back.
load helpers

lines() {
	cat <<-'END'
	{"reap":2,"kind":"trace","model":{"id":"m","digest":"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd","layers":2,"experts":8,"top_k":2},"recipe":null,"history":[]}
	{"t":"route","block":0,"layer":0,"pack":"a","positions":[1,2],"experts":[[1,2],[3,4]],"gates":[[0.5,0.5],[0.1,0.9]],"norms":[[1.0,2.0],[3.0,4.5]],"outliers":0}
	{"t":"outcome","block":0,"pack":"a","positions":[0,2],"logp":[null,-1.25],"entropy":[null,0.9],"top1":[0,1],"outliers":0}
	{"t":"other","u":18446744073709551,"i":-5,"f":0.1,"s":"a\"\\\u0001é","b":true,"n":null,"l":[1,[2,{}]]}
	END
}

stream() {
	lines | reap-show --encode trace --no-history
}

@test "standard options" {
	standard_options reap-show
}

@test "JSON lines survive the way there and back" {
	stream >"$TMP/s"
	reap-show "$TMP/s" >"$TMP/back"
	diff <(lines) "$TMP/back"
	reap-show --encode trace --no-history "$TMP/back" | cmp - "$TMP/s"
}

@test "the encoding run is in the history unless it is not wanted" {
	lines | reap-show --encode trace | reap-show | sed -n 1p |
		jq -e '.history[0].tool == "reap-show" and .history[0].argv[1] == "--encode"'
}

@test "the history shows the command as it was typed" {
	lines >"$TMP/l"
	reap-show "$TMP/l" --encode trace | reap-show | sed -n 1p |
		jq -e --arg l "$TMP/l" '.history[0].argv[1:] == [$l, "--encode", "trace"]'
}

@test "one type of record" {
	run bash -c "reap-show -t outcome <(reap-show --encode trace <<<'$(lines)')"
	[ "$status" -eq 0 ]
	[ "$(jq -c .top1 <<<"$output")" = "[0,1]" ]
	# Every word that the help has is the type of some kind's records, and no other is.
	stream >"$TMP/s"
	for type in $(reap-show --help | sed -n '/--type/,/--text/p' | sed '1s/.*://; $d' | tr -d ,); do
		case $type in
		route | outcome | source) reap-show -t "$type" "$TMP/s" >/dev/null ;;
		*) fails 2 "$TMP/s: a stream of kind trace has no records of type $type, only: route, outcome, source" \
			reap-show -t "$type" "$TMP/s" ;;
		esac
	done
	[ "$type" = metrics ]
	fails 2 "--type: route and outcome: only one can be given" reap-show -t route -t outcome "$TMP/s"
	fails 2 "--summary and --type do not go together" reap-show -s -t route "$TMP/s"
	for type in foo block,pack; do
		fails 2 "--type: no type '$type'" reap-show -t "$type" "$TMP/s"
	done
}

@test "the summary counts records and checks the end" {
	stream >"$TMP/s"
	run reap-show --summary "$TMP/s"
	[ "$status" -eq 0 ]
	[[ "$output" == *"kind     trace"* ]]
	[[ "$output" == *"1 of type route"* ]]
	[[ "$output" == *"$(stat -c %s "$TMP/s")"* || "$output" == *"end record"* ]]
}

@test "a stream cut anywhere is exit 3" {
	stream >"$TMP/s"
	cut_everywhere "$TMP/s" reap-show --summary
}

@test "what is not a stream is exit 3 and said" {
	fails 3 "empty" reap-show /dev/null
	fails 3 "does not begin with the header" reap-show LICENSE
	fails 3 "does not begin with the header" reap-show /dev/zero
	stream >"$TMP/s"
	head -c 100 "$TMP/s" >"$TMP/begun"
	fails 3 "$TMP/begun: truncated within its header (did the stage before fail?)" reap-show "$TMP/begun"
}

@test "a damaged stream is exit 3" {
	stream >"$TMP/s"
	printf '\x01' | dd of="$TMP/s" bs=1 seek=200 conv=notrunc status=none
	run reap-show --summary "$TMP/s"
	[ "$status" -eq 3 ]
	[[ "$output" == *"reap-show: $TMP/s: "* ]]
	{ stream && echo x; } >"$TMP/s"
	run reap-show --summary "$TMP/s"
	[ "$status" -eq 3 ]
	[[ "$output" == *"something follows its end record"* ]]
}

@test "wrong JSON lines are named by line and field, and give no whole stream" {
	run bash -c "{ echo '{\"t\":\"route\",\"experts\":[[1,70000]]}'; } | reap-show --encode trace >'$TMP/s'"
	[ "$status" -eq 1 ]
	[[ "$output" == *"experts: an element is not a u16"* ]]
	run reap-show "$TMP/s"
	[ "$status" -eq 3 ]
	run bash -c "printf '{}\n' | reap-show --encode trace >/dev/null"
	[ "$status" -eq 1 ]
	[[ "$output" == *"line 1"*"t: missing"* ]]
	run bash -c "printf '{\"t\":\"a\"}\n{x\n' | reap-show --encode trace >/dev/null"
	[ "$status" -eq 1 ]
	[[ "$output" == "reap-show: standard input: line 2: string or '}' expected near 'x'" ]]
	run bash -c "printf '{\"t\":\"a\",\"t\":\"b\"}\n' | reap-show --encode trace >/dev/null"
	[ "$status" -eq 1 ]
	fails 2 "no kind 'nonsense'" reap-show --encode nonsense
}

@test "a full disk, a closed standard output, a missing file" {
	stream >"$TMP/s"
	run bash -c "reap-show '$TMP/s' >/dev/full"
	[ "$status" -eq 1 ]
	[[ "$output" == *"standard output: No space left on device"* ]]
	run bash -c "reap-show '$TMP/s' >&-"
	[ "$status" -eq 1 ]
	run bash -c "reap-show --encode trace --no-history <<<'$(lines)' >/dev/full"
	[ "$status" -eq 1 ]
	fails 1 "No such file" reap-show "$TMP/none"
}

@test "a consumer that leaves early kills the producer silently" {
	stream >"$TMP/s"
	for _ in {1..5000}; do echo '{"t":"other","x":"0123456789012345678901234567890123456789"}'; done |
		reap-show --encode trace >"$TMP/big"
	run bash -c "reap-show '$TMP/big' | head -n 1 >/dev/null; echo \${PIPESTATUS[0]}"
	[ "$output" = 141 ]
}

@test "what was printed is encoded to the same bytes: every kind of stream" {
	reap-tokenize -q -m "$MODEL" --seq-len 64 --blocks 3 "$PACKS/tool_agentic.eval.jsonl" >"$TMP/tokens"
	reap-route -q -m "$MODEL" "$TMP/tokens" >"$TMP/trace"
	reap-accum "$TMP/trace" >"$TMP/saliency"
	reap-rank "$TMP/saliency" >"$TMP/scores"
	reap-cut --keep-n 20 "$TMP/scores" >"$TMP/plan"
	reap-rewrite -q -m "$MODEL" -o "$TMP/pruned" "$TMP/plan" >"$TMP/manifest"
	reap-ppl -q -m "$MODEL" "$TMP/tokens" >"$TMP/eval"
	for kind in tokens trace saliency scores plan manifest eval; do
		reap-show "$TMP/$kind" >"$TMP/lines"
		reap-show --encode "$kind" --no-history "$TMP/lines" | cmp - "$TMP/$kind"
		reap-show --encode "$kind" "$TMP/lines" | reap-show | sed -n 1p |
			jq -e --slurpfile was <(sed -n 1p "$TMP/lines") \
				'.history[:-1] == $was[0].history and .history[-1].tool == "reap-show"'
	done
}

@test "a header line of another kind or format is refused, and a second one" {
	lines >"$TMP/l"
	for kind in tokens plan eval; do
		run bash -c "reap-show --encode $kind '$TMP/l' >'$TMP/s'"
		[ "$status" -eq 1 ]
		[[ "$output" == *"$TMP/l: line 1: a stream of kind trace, expected $kind" ]]
	done
	run bash -c "sed 's/\"reap\":2/\"reap\":1/' '$TMP/l' | reap-show --encode trace >'$TMP/s'"
	[ "$status" -eq 1 ]
	[[ "$output" == *"line 1: stream format version 1, this program reads version 2" ]]
	run bash -c "sed 1p '$TMP/l' | reap-show --encode trace >'$TMP/s'"
	[ "$status" -eq 1 ]
	[[ "$output" == *"line 2: t: missing" ]]
	# What it leaves out is as asked for.
	sed 's/"kind":"trace",//' "$TMP/l" | reap-show --encode trace --no-history | cmp - <(stream)
}

@test "infinities, other NaN, blocks of no tokens and odd arrays survive, too" {
	cat >"$TMP/lines" <<-'END'
	{"reap":2,"kind":"trace","model":{"id":"é","digest":"","layers":2,"experts":8,"top_k":2},"recipe":null,"history":[]}
	{"t":"route","block":0,"layer":0,"pack":"中","positions":[],"experts":[],"gates":[],"norms":{"dtype":"f32","shape":[0,3],"data":[]}}
	{"t":"outcome","logp":["-inf",null,"nan:ffc00000",-0.0],"entropy":["inf"],"u":9223372036854775807,"i":-9223372036854775808}
	{"t":"other","v":{"dtype":"i64","shape":[1,1,2],"data":[1,-9223372036854775808]},"x":1.7976931348623157e+308,"y":4.94065645841247e-324}
	END
	reap-show --encode trace --no-history "$TMP/lines" >"$TMP/s"
	reap-show "$TMP/s" | diff "$TMP/lines" -
	reap-show "$TMP/s" | reap-show --encode trace --no-history | cmp - "$TMP/s"
}

@test "arguments that are not UTF-8 come out as U+FFFD" {
	lines >"$TMP/l"$'\xe2\xff'
	reap-show --encode trace "$TMP/l"$'\xe2\xff' | reap-show | sed -n 1p |
		jq -e '.history[0].argv[3] | endswith("l\ufffd\ufffd")'
}

@test "a line that is no object is refused at its first byte" {
	fails 1 "line 2: not an object" reap-show --encode trace <(printf '\n  [' && cat /dev/zero)
}

@test "the summary of scores: YAML has no end record" {
	"$REAP_BUILD/gen/trace" 3 8 2 24 5 | reap-accum | reap-rank --yaml >"$TMP/yaml"
	reap-show -s "$TMP/yaml" | grep '^source .* blocks=5 taken=5$'
	run grep -c '^whole' <(reap-show -s "$TMP/yaml")
	[ "$output" = 0 ]
}

@test "a directory is no stream, and a file no checkpoint" {
	fails 1 "$MODEL: a directory: --id and --check are for checkpoints" reap-show "$MODEL"
	fails 1 "$MODEL/config.json: not a directory" reap-show --check "$MODEL/config.json"
}

@test "the history of a summary can be pasted" {
	mkdir "$TMP/a b"
	lines >"$TMP/a b/it's"
	(cd "$TMP/a b" && reap-show --encode trace "it's" >s)
	[ "$(reap-show -s "$TMP/a b/s" | grep '^made by')" = "made by  reap-show --encode trace 'it'\\''s'" ]
	(cd "$TMP/a b" && bash -c "$(reap-show -s s | sed -n 's/^made by *//p')" | cmp - s)
}

@test "a summary holds no control characters" {
	printf '%s\n' '{"reap":2,"kind":"plan","model":{"id":"\u001b[2J","digest":"","layers":1,"experts":2,"top_k":1},"history":[{"argv":["\u001bc"]}]}' |
		reap-show --encode plan --no-history | reap-show -s >"$TMP/out"
	grep -q "made by  '?c'\$" "$TMP/out"
	run grep -c $'\x1b' "$TMP/out"
	[ "$output" = 0 ]
	printf '%s\n' '{"reap":2,"kind":"plan","model":{"id":"a\u009b2J","digest":"","layers":1,"experts":2,"top_k":1},"history":[{"argv":["\u009bc\u00e9"]}]}' |
		reap-show --encode plan --no-history | reap-show -s >"$TMP/out"
	grep -q "made by  '?cé'\$" "$TMP/out"
	run grep -c $'\xc2\x9b' "$TMP/out"
	[ "$output" = 0 ]
}

@test "a record of 16 million empty lists takes no memory for them" {
	[[ "$REAP_BUILD" != *san* && "$REAP_BUILD" != *fuzz* ]] || skip "address space of a sanitizer"
	{
		printf '\x85\xa4reap\x02\xa4kind\xa5trace\xa5model\xc0\xa6recipe\xc0\xa7history\x90\x82\xa1t\xa1x\xa1v\x9f'
		for _ in {1..15}; do
			printf '\xdd\x00\x04\x00\x00'
			head -c 262144 /dev/zero | tr '\0' '\220'
		done
	} >"$TMP/s"
	ulimit -v 100000
	fails 3 "record 1 at byte 42: too many values" reap-show -t source "$TMP/s"
	fails 3 "record 1 at byte 42: too many values" reap-show -t source <(cat "$TMP/s")
}

@test "deep JSON is refused, also with a small stack" {
	printf '{"text":"x","a":%s1%s}\n' "$(printf '[%.0s' {1..1900})" "$(printf ']%.0s' {1..1900})" >"$TMP/deep"
	[[ "$REAP_BUILD" == *san* || "$REAP_BUILD" == *fuzz* ]] || ulimit -s 128
	fails 1 "nested too deeply" reap-show --encode trace "$TMP/deep"
	fails 1 "nested too deeply" reap-tokenize -q -m "$MODEL" --rows --max-len 64 "$TMP/deep"
	fails 1 "nested too deeply" reap-gate --gates "$TMP/deep" "$TMP/deep" "$TMP/deep"
}

@test "--text: tokens, traces and evals with text, context, channel and row" {
	{
		jq -cn '{messages: [{role: "user", content: "q"}, {role: "assistant", content: "a\n\tb \u0000\u202e é😀"}]}'
		jq -cn '{prompt: "q", completion: "   "}'
	} >"$TMP/r"
	reap-tokenize -q -m "$MODEL" --rows p="$TMP/r" >"$TMP/tokens" 2>/dev/null
	reap-show --text "$MODEL" "$TMP/tokens" >"$TMP/lines"
	# A line for each token, in order; all text of a block is what was tokenized, made visible.
	[ "$(jq -r .id "$TMP/lines" | tr '\n' ' ')" = "$(reap-show -t block "$TMP/tokens" | jq -r '.ids[]' | tr '\n' ' ')" ]
	[ "$(jq -rs 'map(select(.block == 0 and .kept).text) | add | gsub("␣"; " ") | gsub("�"; "")' "$TMP/lines")" = "a⏎⇥b  é😀" ]
	# NUL, the turn of the writing direction, and tokens that end within a character.
	jq -es 'map(select(.text == "�")) | length > 2' "$TMP/lines"
	run grep -e 'u0000' -e $'\xe2\x80\xae' "$TMP/lines"
	[ "$status" -eq 1 ]
	jq -es 'map(select(.kept) | .channel) | unique == ["final"]' "$TMP/lines"
	jq -es 'map(.row) | unique | length == 2' "$TMP/lines"
	jq -es 'map(select(.block == 1 and .kept).text) | add | test("^␣+$")' "$TMP/lines"
	jq -es '.[20] as $t | $t.before | endswith($t.text) | not' "$TMP/lines"
	reap-route -q -m "$MODEL" --layers 0-1 "$TMP/tokens" >"$TMP/trace"
	reap-show --text "$MODEL" --tokens "$TMP/tokens" -t route "$TMP/trace" >"$TMP/routes"
	[ "$(jq -r '[.layer, .block, .position] | @tsv' "$TMP/routes" | wc -l)" -eq $(($(jq -s 'map(select(.kept)) | length' "$TMP/lines") * 2)) ]
	diff <(jq -cs 'map(select(.kept) | {block, position, row, channel, id, text, before})' "$TMP/lines") \
		<(jq -cs 'map(select(.layer == 0) | {block, position, row, channel, id, text, before})' "$TMP/routes")
	jq -es 'all(.experts | length == 4) and all(.gates | add | . > 0.999 and . < 1.001) and
		all(.norms | length == 4 and all(. > 0))' "$TMP/routes"
	fails 2 "$TMP/trace: a record of type source has no tokens" \
		reap-show --text "$MODEL" --tokens "$TMP/tokens" -t source "$TMP/trace"
	reap-ppl -q -m "$MODEL" "$TMP/tokens" >"$TMP/eval"
	diff <(jq -cs 'map(select(.kept) | {block, position, row, channel, id, text, before})' "$TMP/lines") \
		<(reap-show --text "$MODEL" --tokens "$TMP/tokens" "$TMP/eval" | jq -cs 'map({block, position, row, channel, id, text, before})')
	reap-show --text "$MODEL" "$TMP/eval" | jq -es 'all(has("before") | not) and all(.nll >= 0 and (.best | type) == "string")'
	fails 2 "a trace has no ids: --tokens names" reap-show --text "$MODEL" "$TMP/trace"
	fails 2 "kind saliency has no tokens" reap-show --text "$MODEL" <(reap-accum "$TMP/trace" 2>/dev/null || reap-route -q -m "$MODEL" "$TMP/tokens" | reap-accum)
	fails 2 "--tokens goes with --text" reap-show --tokens "$TMP/tokens" "$TMP/trace"
	# The tokens of another run.
	reap-tokenize -q -m "$MODEL" --rows p=<(tail -n 1 "$TMP/r") >"$TMP/other" 2>/dev/null
	run reap-show --text "$MODEL" --tokens "$TMP/other" "$TMP/trace"
	[ "$status" -eq 1 ]
	[[ $output == *"other: block 0 is another one: "* ]]
}

@test "--text: the words of another tokenizer are refused" {
	local says='tokenizer: [0-9a-f]{16}\.\.\., but the one to decode by is [0-9a-f]{16}'
	echo '{"text": "one two"}' >"$TMP/r"
	reap-tokenize -q -m "$MODEL" --keep all --rows "$TMP/r" >"$TMP/tokens" 2>"$TMP/err"
	jq . "$MODEL/tokenizer.json" >"$TMP/tokenizer.json"
	reap-show --text "$MODEL/tokenizer.json" "$TMP/tokens" >"$TMP/lines"
	run reap-show --text "$TMP/tokenizer.json" "$TMP/tokens"
	[ "$status" -ne 0 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output =~ $says ]]
	run reap-show --text "$TMP/tokenizer.json" <"$TMP/tokens"
	[ "$status" -ne 0 ]
	[[ $output =~ $says ]]
	# A stream made by hand does not say.
	reap-show "$TMP/tokens" | jq -c 'if .t == "pack" then .tokenizer = "" else . end' | reap-show --encode tokens >"$TMP/mute"
	reap-show --text "$TMP/tokenizer.json" "$TMP/mute" | cmp - "$TMP/lines"
}

@test "reap-scores.yaml is shown as the stream that it would be" {
	local f=recipes/reap-scores_20b_eaftreap_keepfrac075_budgeted.yaml
	reap-show "$f" >"$TMP/lines"
	[ "$(jq -rs '.[0].kind' "$TMP/lines")" = scores ]
	[ "$(grep -c '"t":"layer"' "$TMP/lines")" = 24 ]
	reap-show --no-history --encode scores "$TMP/lines" | reap-rank --no-history --yaml >"$TMP/again"
	reap-rank --no-history --yaml "$f" | cmp - "$TMP/again"
	reap-show -s "$TMP/again" | grep '^records  24 of type layer' >/dev/null
	echo '# nothing' >"$TMP/x"
	run reap-show "$TMP/x"
	[ "$status" -ne 0 ]
}

@test "--id -: standard input has the identifier of the file" {
	for f in "$MODEL/config.json" "$MODEL/tokenizer.json"; do
		[ "$(reap-show --id - <"$f")" = "$(sha256sum - <"$f")" ]
	done
}
