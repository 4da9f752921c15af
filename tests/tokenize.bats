#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# reap-tokenize: rows to token blocks.
load helpers
load text

# blocks STREAM: the ids of each block, one a line.
blocks() {
	reap-show -t block "$1" | jq -c .ids
}

# plain OPTION...: of texts that are not the assistant's.
plain() {
	tok --keep all "$@"
}

@test "standard options" {
	standard_options reap-tokenize
}

@test "wrong usage exits 2 and says why" {
	local f=$PACKS/calib_prompt.eval.jsonl h=0123456789abcdef
	fails 2 "one of --seq-len, --rows and --pack-rows" tok -m "$MODEL" "$f"
	fails 2 "only one of --seq-len, --rows and --pack-rows" tok -m "$MODEL" --rows -l 64 "$f"
	fails 2 "--blocks goes with --seq-len" tok -m "$MODEL" --rows -b 3 "$f"
	fails 2 "--max-len goes with --rows" tok -m "$MODEL" -l 64 --max-len 3 "$f"
	fails 2 "--row-max goes with --pack-rows" tok -m "$MODEL" -l 64 --row-max 3 "$f"
	fails 2 "--seq-len: 64 is there twice" tok -m "$MODEL" -l 64,64 "$f"
	fails 2 "--seq-len: '64x' is not a number" tok -m "$MODEL" -l 64x "$f"
	fails 2 "--seq-len: '' is not a number" tok -m "$MODEL" -l 64, "$f"
	fails 2 "only one of --blocks and --target-tokens" tok -m "$MODEL" -l 64 -b 1 --target-tokens 64 "$f"
	fails 2 "--target-tokens: 63 is less than one block of 64" tok -m "$MODEL" -l 64 --target-tokens 63 "$f"
	fails 2 "go with --sample" tok -m "$MODEL" --rows --seed 3 "$f"
	fails 2 "--strategy: 'x' is not per_file, per_file_weighted or global" tok -m "$MODEL" --rows --sample 3 --strategy x "$f"
	fails 2 "--weights and --strategy per_file_weighted go together" tok -m "$MODEL" --rows --sample 3 --weights 1 "$f"
	fails 2 "2 weights for 1 files" tok -m "$MODEL" --rows --sample 3 --strategy per_file_weighted --weights 1,2 "$f"
	fails 2 "--weights: all are 0" tok -m "$MODEL" --rows --sample 3 --strategy per_file_weighted --weights 0 "$f"
	fails 2 "--sample and --union" tok -m "$MODEL" --rows --sample 3 --union U "$f"
	fails 2 "--holdout needs --split" tok -m "$MODEL" --rows --holdout .5 "$f"
	fails 2 "is not between 0 and 1" tok -m "$MODEL" --rows --holdout 1 --split eval "$f"
	fails 2 "--split: 'test' is not calib or eval" tok -m "$MODEL" --rows --holdout .5 --split test "$f"
	fails 2 "--holdout-pack needs --split" tok -m "$MODEL" --rows --holdout-pack a a="$f"
	fails 2 "only one of --holdout and --holdout-pack" tok -m "$MODEL" --rows --holdout .5 --holdout-pack a --split eval a="$f"
	cp "$f" "$TMP/copy"
	ln "$f" "$TMP/link" 2>/dev/null || ln -s "$f" "$TMP/link"
	for other in "$f" "$TMP/copy" "$TMP/link"; do
		fails 2 "--holdout-pack: a has the same rows as b ($f, $other)" \
			tok -m "$MODEL" --rows --holdout-pack a --split eval a="$f" b="$other"
	done
	fails 2 "--holdout-pack: no pack is called 'b'" tok -m "$MODEL" --rows --holdout-pack b --split eval a="$f"
	fails 2 "leaves no pack to --split calib" tok -m "$MODEL" --rows --holdout-pack a --split calib a="$f"
	fails 2 "--keep: 'some' is not assistant or all" tok -m "$MODEL" --rows --keep some "$f"
	fails 2 "two packs are called 'a'" tok -m "$MODEL" --rows a="$f" a="$f"
	fails 2 "a pack is called 'U' already" tok -m "$MODEL" --rows --union U U="$f"
	fails 2 "a pack needs a name" tok -m "$MODEL" --rows ="$f"
	fails 2 "no file after '='" tok -m "$MODEL" --rows a=
	fails 2 "standard input can be named only once" tok -m "$MODEL" --rows a=- b=-
	fails 2 "only one of --model and --tokenizer" tok -m "$MODEL" -t "$MODEL/tokenizer.json" --rows "$f"
	fails 2 "is not NAME:SHA256" tok -m "$MODEL" --rows --recipe-id x:$h "$f"
	fails 2 "packing needs an EOS token" tok -l 64 "$f"
	fails 2 "no tokenizer was given, so an id is needed" tok -l 64 --eos x "$f"
	fails 2 "--eos: 'nope' is not a token of" tok -m "$MODEL" --eos nope -l 64 "$f"
}

@test "the same rows under two names count twice, and this is said" {
	local f=$PACKS/tool_agentic.eval.jsonl
	cp "$f" "$TMP/copy"
	reap-tokenize -q -m "$MODEL" -l 64,96 -b 3 --union U a="$f" b="$PACKS/calib_prompt.eval.jsonl" c="$TMP/copy" 2>"$TMP/err" >"$TMP/s"
	[ "$(grep twice "$TMP/err")" = "reap-tokenize: pack c: its rows are those of pack a, so they count twice" ]
	reap-tokenize -q -m "$MODEL" -l 64 -b 3 --union U a="$f" 2>"$TMP/err" >"$TMP/s"
	run grep -c twice "$TMP/err"
	[ "$output" = 0 ]
}

@test "evaluation blocks: every length, each pack, the union, in this order" {
	tok -m "$MODEL" -l 64,96 -b 3 --union UNION "$PACKS"/{tool_agentic,calib_prompt}.eval.jsonl >"$TMP/s"
	[ "$(reap-show -t block "$TMP/s" | jq -c '[.pack,.seq_len,.index,(.ids|length),.keep[0]]' | tr '\n' ' ')" = \
		'["tool_agentic.eval",64,0,64,0] ["tool_agentic.eval",64,1,64,0] ["tool_agentic.eval",64,2,64,0] '\
'["tool_agentic.eval",96,3,96,0] ["tool_agentic.eval",96,4,96,0] ["tool_agentic.eval",96,5,96,0] '\
'["calib_prompt.eval",64,6,64,0] ["calib_prompt.eval",64,7,64,0] ["calib_prompt.eval",64,8,64,0] '\
'["calib_prompt.eval",96,9,96,0] ["calib_prompt.eval",96,10,96,0] ["calib_prompt.eval",96,11,96,0] '\
'["UNION",64,12,64,0] ["UNION",64,13,64,0] ["UNION",64,14,64,0] '\
'["UNION",96,15,96,0] ["UNION",96,16,96,0] ["UNION",96,17,96,0] ' ]
	# The pack record follows its last block.
	[ "$(reap-show "$TMP/s" | jq -r '.t // empty' | uniq -c | awk '{print $1 $2}' | tr '\n' ' ')" = \
		"3block 1pack 3block 1pack 3block 1pack 3block 1pack 3block 1pack 3block 1pack " ]
	# The union begins like its first file.
	[ "$(blocks "$TMP/s" | sed -n 1p)" = "$(blocks "$TMP/s" | sed -n 13p)" ]
}

@test "rows_sha256 and rows_seen are those of the rows consumed" {
	local want
	rows one two three four >"$TMP/r.jsonl"
	plain -t "$MODEL/tokenizer.json" --rows p="$TMP/r.jsonl" >"$TMP/s"
	reap-tokenize --keep all -t "$MODEL/tokenizer.json" --rows "$TMP/r.jsonl" 2>&1 >/dev/null | grep -E ' ([0-9]+) of \1 tokens kept \(no channel \1\)$'
	want=$(printf 'one\0two\0three\0four\0' | sha256sum | cut -d' ' -f1)
	[ "$(field "$TMP/s" rows_sha256)" = "$want" ]
	[ "$(field "$TMP/s" rows_seen)" = 4 ]
	[ "$(field "$TMP/s" tokenizer)" = "$(sha256sum <"$MODEL/tokenizer.json" | cut -d' ' -f1)" ]
	# Two tokens are enough for the first block; the rest is not looked at.
	plain -t "$MODEL/tokenizer.json" --pack-rows 2 --max-blocks 1 "$TMP/r.jsonl" >"$TMP/s"
	[ "$(field "$TMP/s" rows_sha256)" = "$(printf 'one\0' | sha256sum | cut -d' ' -f1)" ]
}

@test "target tokens: as many blocks as hold them" {
	tok -m "$MODEL" -l 64,128 --target-tokens 300 "$PACKS/calib_prompt.eval.jsonl" >"$TMP/s"
	[ "$(field "$TMP/s" blocks | tr '\n' ' ')" = "4 2 " ]
}

@test "fewer blocks than asked for: exit 1, counts named, no whole stream" {
	local status=0
	rows a b c >"$TMP/r.jsonl"
	tok -m "$MODEL" -l 4 -b 9 p="$TMP/r.jsonl" >"$TMP/s" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
	grep -q "pack p: 1 blocks of 4 tokens in its 3 rows, not the 9 asked for" "$TMP/err"
	status=0
	reap-show "$TMP/s" >/dev/null 2>&1 || status=$?
	[ "$status" -eq 3 ]
}

@test "the EOS token: the model's, a named one, an id" {
	local eos
	rows a >"$TMP/r.jsonl"
	eos=$(jq .eos_token_id "$MODEL/config.json")
	[ "$(plain -m "$MODEL" --pack-rows 2 "$TMP/r.jsonl" >"$TMP/s" && blocks "$TMP/s" | jq '.[1]')" = "$eos" ]
	eos=$(jq '.added_tokens[] | select(.content == "<|call|>").id' "$MODEL/tokenizer.json")
	[ "$(plain -m "$MODEL" --pack-rows 2 --eos '<|call|>' "$TMP/r.jsonl" >"$TMP/s" && blocks "$TMP/s" | jq '.[1]')" = "$eos" ]
	[ "$(plain -m "$MODEL" --pack-rows 2 --eos 7 "$TMP/r.jsonl" >"$TMP/s" && blocks "$TMP/s" | jq '.[1]')" = 7 ]
	cp "$MODEL/tokenizer.json" "$TMP"
	fails 1 "tokenizer_config.json: No such file" plain -t "$TMP/tokenizer.json" --pack-rows 2 "$TMP/r.jsonl"
	# The file of gpt-oss holds a number beyond 64 bits.
	echo '{"model_max_length": 1000000000000000019884624838656, "eos_token": {"content": "<|end|>"}}' \
		>"$TMP/tokenizer_config.json"
	plain -t "$TMP/tokenizer.json" --pack-rows 2 "$TMP/r.jsonl" >"$TMP/s"
	echo '{"eos_token": "<|nope|>"}' >"$TMP/tokenizer_config.json"
	fails 1 "eos_token: <|nope|> is not a token of" plain -t "$TMP/tokenizer.json" --pack-rows 2 "$TMP/r.jsonl"
}

@test "the assistant's words are kept, tags and others are not; channels" {
	rows '<|start|>user<|message|>b<|end|><|start|>assistant<|channel|>analysis<|message|>c<|end|><|start|>assistant<|channel|>final<|message|>d<|return|>' >"$TMP/r.jsonl"
	tok -m "$MODEL" --rows "$TMP/r.jsonl" >"$TMP/s"
	[ "$(reap-show -t block "$TMP/s" | jq -c '[.channel[] | select(. > 0)]')" = "[1,3]" ]
	[ "$(field "$TMP/s" kept)" = 2 ]
	tok -m "$MODEL" --rows --keep all "$TMP/r.jsonl" >"$TMP/s"
	[ "$(field "$TMP/s" kept)" = "$(field "$TMP/s" tokens)" ]
}

@test "lines end at newline only; NUL, U+0085 and U+2028 are text" {
	printf '{"text":"a\xc2\x85b\xe2\x80\xa8c"}\r\n\n{"text":"x\\u0000y"}\n \t\n{"text":"z"}' >"$TMP/r.jsonl"
	plain -m "$MODEL" --rows "$TMP/r.jsonl" >"$TMP/s"
	[ "$(field "$TMP/s" rows_seen)" = 3 ]
	[ "$(field "$TMP/s" rows_sha256)" = \
		"$(printf 'a\xc2\x85b\xe2\x80\xa8c\0x\0y\0z\0' | sha256sum | cut -d' ' -f1)" ]
}

@test "rows without usable text are passed over; another column" {
	cat >"$TMP/r.jsonl" <<-'END'
	{"text": null, "body": "b"}
	{"text": 5}
	{"text": " \n\u3000"}
	{"text": "t"}
	END
	plain -m "$MODEL" --rows "$TMP/r.jsonl" >"$TMP/s"
	[ "$(field "$TMP/s" rows_seen)" = 1 ]
	plain -m "$MODEL" --rows --text-column body "$TMP/r.jsonl" >"$TMP/s"
	[ "$(field "$TMP/s" rows_sha256)" = "$(printf 'b\0' | sha256sum | cut -d' ' -f1)" ]
	status=0
	plain -m "$MODEL" --rows --text-column nope "$TMP/r.jsonl" >"$TMP/s" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
	grep -q 'r.jsonl: none of its 4 rows has text in "nope"' "$TMP/err"
	status=0
	plain -m "$MODEL" --rows /dev/null >"$TMP/s" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
}

@test "a bad row names file and line" {
	local line
	for line in '{"text": "lone \ud83d surrogate"}' '{"text": "x"' '[1]' '{"text":"a","text":"b"}' \
		'{"input_ids":[1,-2]}' '{"input_ids":[1.5]}' '{"input_ids":[4294967296]}' '{"input_ids":"x"}' '{"input_ids":[1],"keep_mask":[1,1]}' \
		'{"input_ids":[1],"keep_mask":[2]}' $'{"text":"\xff"}'; do
		printf '{"text":"good"}\n\n%s\n' "$line" >"$TMP/r.jsonl"
		status=0
		tok -m "$MODEL" --rows "$TMP/r.jsonl" >"$TMP/s" 2>"$TMP/err" || status=$?
		[ "$status" -eq 1 ]
		grep -q "r.jsonl: line 3: " "$TMP/err" || { cat "$TMP/err"; return 1; }
	done
	fails 1 "nosuch.jsonl: No such file" tok -m "$MODEL" --rows "$TMP/nosuch.jsonl"
}

@test "rows may hold numbers beyond 64 bits beside their text or ids" {
	printf '{"hash":123456789012345678901,"input_ids":[5,6]}\n{"hash":-99999999999999999999,"text":"t"}\n' \
		>"$TMP/r.jsonl"
	tok -m "$MODEL" --rows "$TMP/r.jsonl" >"$TMP/s"
	[ "$(blocks "$TMP/s" | head -n 1)" = "[5,6]" ]
	[ "$(field "$TMP/s" rows_seen)" = 2 ]
}

@test "rows of ids need no tokenizer" {
	printf '{"input_ids":[5,6,7],"keep_mask":[0,1,true]}\n{"input_ids":[8]}\n' >"$TMP/r.jsonl"
	tok -l 2 --eos 9 p="$TMP/r.jsonl" >"$TMP/s"
	[ "$(blocks "$TMP/s" | tr '\n' ' ')" = "[5,6] [7,9] [8,9] " ]
	[ "$(field "$TMP/s" tokenizer)" = "" ]
	[ "$(field "$TMP/s" rows_sha256)" = \
		"$(printf '\5\0\0\0\6\0\0\0\7\0\0\0\0\10\0\0\0\0' | sha256sum | cut -d' ' -f1)" ]
	rows text >"$TMP/r.jsonl"
	status=0
	tok --rows "$TMP/r.jsonl" >"$TMP/s" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
	grep -q "r.jsonl: row 0: has text, but no tokenizer was given" "$TMP/err"
}

@test "a model without a tokenizer will do for rows of ids, and only for them" {
	mkdir "$TMP/m"
	cp "$MODEL/config.json" "$TMP/m"
	printf '{"input_ids":[5,6,7]}\n' >"$TMP/r.jsonl"
	tok -m "$TMP/m" --rows "$TMP/r.jsonl" >"$TMP/s"
	[ "$(blocks "$TMP/s")" = "[5,6,7]" ]
	[ "$(field "$TMP/s" tokenizer)" = "" ]
	tok -m "$TMP/m" -l 2 --eos 9 "$TMP/r.jsonl" >"$TMP/s"
	[ "$(blocks "$TMP/s" | tr '\n' ' ')" = "[5,6] [7,9] " ]
	fails 2 "packing needs an EOS token, but $TMP/m/tokenizer.json is missing" tok -m "$TMP/m" -l 2 "$TMP/r.jsonl"
	rows text >"$TMP/r.jsonl"
	run tok -m "$TMP/m" --rows "$TMP/r.jsonl"
	[ "$status" -eq 1 ]
	[[ $output == *"r.jsonl: row 0: has text, but $TMP/m/tokenizer.json is missing"* ]]
	# A link that leads nowhere is no model without a tokenizer.
	ln -s ../blobs/gone "$TMP/m/tokenizer.json"
	printf '{"input_ids":[5,6,7]}\n' >"$TMP/r.jsonl"
	fails 1 "tokenizer.json: No such file" tok -m "$TMP/m" --rows "$TMP/r.jsonl"
}

# chat FORM: two conversations as rows of one form.
chat() {
	case $1 in
	messages) jq -cn '("one", "two") | {messages: [{role: "user", content: .}, {role: "assistant", content: ("yes " + .)}]}' ;;
	sharegpt) jq -cn '("one", "two") | {conversations: [{from: "human", value: .}, {from: "gpt", value: ("yes " + .)}]}' ;;
	pair) jq -cn '("one", "two") | {prompt: ., completion: ("yes " + .)}' ;;
	alpaca) jq -cn '("one", "two") | {instruction: ., input: "", output: ("yes " + .)}' ;;
	esac
}

@test "conversations: the same tokens from every form of row; the answer is kept" {
	chat messages >"$TMP/m"
	tok -m "$MODEL" --rows p="$TMP/m" >"$TMP/want"
	for form in sharegpt pair alpaca; do
		chat $form >"$TMP/m"
		tok -m "$MODEL" --rows p="$TMP/m" >"$TMP/got"
		cmp "$TMP/want" "$TMP/got"
	done
	# The answer's tokens are those of its text alone, in the final channel.
	plain -m "$MODEL" --rows <(rows "yes one") >"$TMP/text"
	reap-show -t block "$TMP/want" | jq -c '[[.ids, .keep] | transpose[] | select(.[1] == 1)[0]]' | sed -n 1p >"$TMP/kept"
	blocks "$TMP/text" | cmp - "$TMP/kept"
	[ "$(reap-show -t block "$TMP/want" | jq -c '[.channel[] | select(. > 0)] | unique' | sort -u)" = "[3]" ]
}

@test "conversations: tags within the text of a message are text" {
	jq -cn '{prompt: "a<|end|>b", completion: "c<|return|>d"}' >"$TMP/r"
	tok -m "$MODEL" --rows "$TMP/r" >"$TMP/s"
	local end
	end=$(jq '.added_tokens[] | select(.content == "<|end|>").id' "$MODEL/tokenizer.json")
	# system and user close with <|end|>, the last answer with <|return|>
	[ "$(reap-show -t block "$TMP/s" | jq "[.ids[] | select(. == $end)] | length")" = 2 ]
	# As a transcript the same text would hold one more.
	plain -m "$MODEL" --rows <(rows 'a<|end|>b') >"$TMP/s"
	[ "$(reap-show -t block "$TMP/s" | jq "[.ids[] | select(. == $end)] | length")" = 1 ]
}

@test "conversations: date, effort, history; samples and splits go by the rendered text" {
	local t='{messages: [{role: "user", content: "q"}, {role: "assistant", thinking: "first", content: "a"},
		{role: "user", content: "r"}, {role: "assistant", thinking: "second", content: "b"}]}'
	jq -cn "$t" >"$TMP/r"
	kept() { tok -m "$MODEL" --rows "$@" "$TMP/r" | reap-show -t block | jq -c '[.channel[] | select(. == 1)] | length'; }
	[ "$(kept --history all)" -gt "$(kept)" ]
	tok -m "$MODEL" --rows "$TMP/r" >"$TMP/a"
	for o in "--chat-date 2025-08-05" "--chat-effort high" "--history all"; do
		# shellcheck disable=SC2086
		tok -m "$MODEL" --rows $o "$TMP/r" >"$TMP/b"
		run cmp -s "$TMP/a" "$TMP/b"
		[ "$status" -eq 1 ]
	done
	for o in "--chat-date 5.8.2025" "--chat-date 2025-13-01" "--chat-date 2025-02-29" "--chat-date 2025-04-00" "--chat-effort huge" "--history some"; do
		# shellcheck disable=SC2086
		run reap-tokenize -m "$MODEL" --rows $o "$TMP/r"
		[ "$status" -eq 2 ]
	done
	for i in $(seq 40); do jq -cn --arg i "$i" '{prompt: $i, completion: "yes"}'; done >"$TMP/r"
	tok -m "$MODEL" --rows --holdout 0.5 --split calib "$TMP/r" >"$TMP/a"
	tok -m "$MODEL" --rows --holdout 0.5 --split eval "$TMP/r" >"$TMP/b"
	[ "$(cat <(blocks "$TMP/a") <(blocks "$TMP/b") | sort -u | wc -l)" = 40 ]
	tok -m "$MODEL" --rows --sample 7 "$TMP/r" >"$TMP/a"
	[ "$(blocks "$TMP/a" | sort -u | wc -l)" = 7 ]
}

@test "which part of a row is taken: ids, a Harmony text, a conversation, another text" {
	local chat='messages: [{role: "user", content: "q"}]' h='"<|start|>assistant<|message|>t<|end|>"'
	is() { plain -m "$MODEL" --rows ${3-} p=<(jq -cn "$1") >"$TMP/a"; plain -m "$MODEL" --rows p=<(jq -cn "$2") >"$TMP/b"; cmp "$TMP/a" "$TMP/b"; }
	is "{input_ids: [5, 6], text: $h, $chat}" "{input_ids: [5, 6]}"
	is "{text: $h, $chat}" "{text: $h}"
	is "{text: \"plain\", $chat}" "{$chat}"
	is "{text: \"the tag <|message|> is\", $chat}" "{$chat}"
	is "{text: \"plain\", prompt: \"q\"}" "{text: \"plain\"}"
	is "{text: \"plain\", $chat}" "{text: \"plain\"}" "--text-column text"
	is '{prompt: "<|start|>assistant", completion: "<|message|>t<|end|>"}' "{text: $h}"
}

@test "conversations that cannot be rendered: file, line, message, reason" {
	jq -cn '{prompt: "q", completion: "a"}, {messages: [{role: "user", content: [{type: "image_url"}]}]}' >"$TMP/r"
	run reap-tokenize -q -m "$MODEL" --rows "$TMP/r"
	[ "$status" -eq 1 ]
	[[ $output == *"r: line 2: message 0: content: part 0 of type 'image_url' is not text"* ]]
	# A tokenizer that has half of Harmony.
	jq 'del(.added_tokens[] | select(.content == "<|start|>"))' "$MODEL/tokenizer.json" >"$TMP/tokenizer.json"
	run reap-tokenize -q -t "$TMP/tokenizer.json" --rows <(jq -cn '{prompt: "q", completion: "a"}')
	[ "$status" -eq 1 ]
	[[ $output == *"has no token <|start|>"* ]]
}

@test "names: the stem, or what was said" {
	rows a >"$TMP/a=b.c.jsonl"
	plain -m "$MODEL" --rows "$TMP/a=b.c.jsonl" x="$TMP/a=b.c.jsonl" - <"$TMP/a=b.c.jsonl" >"$TMP/s"
	[ "$(field "$TMP/s" pack | tr '\n' ' ')" = "a=b.c x stdin " ]
}

@test "same bytes from a file, a pipe, standard input, and any number of threads" {
	local f=$PACKS/tool_agentic.eval.jsonl
	tok -m "$MODEL" -l 64,128 --union U p="$f" q="$PACKS/calib_prompt.eval.jsonl" --threads 1 >"$TMP/a"
	tok -m "$MODEL" -l 64,128 --union U p=- q="$PACKS/calib_prompt.eval.jsonl" --threads 3 < <(cat "$f") >"$TMP/b"
	cmp "$TMP/a" "$TMP/b"
	# Standard input counts from where it stands.
	{ read -r _; tok -m "$MODEL" --rows p=- >"$TMP/a"; } <"$f"
	tail -n +2 "$f" | tok -m "$MODEL" --rows p=- >"$TMP/b"
	cmp "$TMP/a" "$TMP/b"
	# ... whatever folder is called so.
	mkdir -p "$TMP/here/-"
	(cd "$TMP/here" && tail -n +2 "$f" | tok -m "$MODEL" --rows p=-) >"$TMP/a"
	cmp "$TMP/a" "$TMP/b"
	# Nothing is left of what had to be copied.
	mkdir "$TMP/t"
	TMPDIR=$TMP/t tok -m "$MODEL" --rows --sample 5 - < <(cat "$f") >"$TMP/a"
	[ -z "$(ls -A "$TMP/t")" ]
	fails 1 "No such file" env TMPDIR="$TMP/none" reap-tokenize -m "$MODEL" --rows --sample 5 - < <(cat "$f")
}

@test "a part without rows is an error, and no stream of 0 blocks" {
	echo '{"input_ids": [1, 2, 3]}' >"$TMP/one.jsonl"
	for split in calib eval; do
		reap-tokenize --rows --holdout .5 --split $split "$TMP/one.jsonl" >"$TMP/$split" 2>"$TMP/$split.err" ||
			echo "$split" >>"$TMP/failed"
	done
	[ "$(wc -l <"$TMP/failed")" -eq 1 ]
	split=$(cat "$TMP/failed")
	grep -q "pack one: none of its rows lies in the split $split of --holdout 0.5" "$TMP/$split.err"
	run reap-show "$TMP/$split"
	[ "$status" -eq 3 ]
}

@test "a pack held out: the others, or it alone, with their weights" {
	local a=$PACKS/reasoning_style.calib.jsonl b=$PACKS/tool_agentic.calib.jsonl c=$PACKS/calib_prompt.calib.jsonl
	tok -m "$MODEL" --rows --split calib a="$a" c="$c" >"$TMP/want"
	tok -m "$MODEL" --rows --split calib --holdout-pack b a="$a" b="$b" c="$c" | cmp - "$TMP/want"
	tok -m "$MODEL" --rows --split eval a="$a" c="$c" >"$TMP/want"
	tok -m "$MODEL" --rows --split eval --holdout-pack c --holdout-pack a a="$a" b="$b" c="$c" | cmp - "$TMP/want"
	[ "$(field "$TMP/want" split | sort -u)" = eval ]
	tok -m "$MODEL" -l 64 --blocks 2 --union U --split eval a="$a" c="$c" >"$TMP/want"
	tok -m "$MODEL" -l 64 --blocks 2 --union U --split eval --holdout-pack a --holdout-pack c a="$a" b="$b" c="$c" |
		cmp - "$TMP/want"
	weighted() { tok -m "$MODEL" --rows --sample 20 --strategy per_file_weighted --split calib "$@"; }
	weighted --weights 1,3 a="$a" c="$c" >"$TMP/want"
	weighted --weights 1,7,3 --holdout-pack b a="$a" b="$b" c="$c" | cmp - "$TMP/want"
	fails 2 "all are 0 in --split calib" weighted --weights 0,7,0 --holdout-pack b a="$a" b="$b" c="$c"
}

@test "held out rows: two parts, disjoint, whole" {
	local f=$PACKS/calib_prompt.calib.jsonl
	tok -m "$MODEL" --rows "$f" >"$TMP/all"
	tok -m "$MODEL" --rows --holdout .3 --split calib "$f" >"$TMP/calib"
	tok -m "$MODEL" --rows --holdout .3 --split eval "$f" >"$TMP/eval"
	[ "$(blocks "$TMP/calib" | wc -l)" -gt "$(blocks "$TMP/eval" | wc -l)" ]
	diff <(blocks "$TMP/all" | sort) <({ blocks "$TMP/calib"; blocks "$TMP/eval"; } | sort)
	[ "$(field "$TMP/eval" split)" = eval ]
	[ "$(field "$TMP/calib" split)" = calib ]
	tok -m "$MODEL" --rows --split eval "$f" >"$TMP/declared"
	[ "$(field "$TMP/declared" split)" = eval ]
	tok -m "$MODEL" --rows "$f" | reap-show --type block | cmp - <(reap-show --type block "$TMP/declared")
	# A sample of one part stays within it.
	tok -m "$MODEL" --rows --holdout .3 --split eval --sample 20 "$f" >"$TMP/sample"
	[ -z "$(comm -23 <(blocks "$TMP/sample" | sort) <(blocks "$TMP/eval" | sort))" ]
}

@test "samples: equal texts, packs by row, one pack when packed" {
	rows same same same x y >"$TMP/a.jsonl"
	rows same z >"$TMP/b.jsonl"
	plain -m "$MODEL" --rows --sample 7 --strategy global "$TMP"/{a,b}.jsonl >"$TMP/s"
	[ "$(field "$TMP/s" rows_seen | tr '\n' ' ')" = "5 2 " ]
	[ "$(field "$TMP/s" sample_hash | uniq | wc -l)" = 1 ]
	plain -m "$MODEL" --pack-rows 8 --sample 7 --strategy global "$TMP"/{a,b}.jsonl >"$TMP/p"
	[ "$(field "$TMP/p" pack)" = sample ]
	[ "$(field "$TMP/p" sample_hash)" = "$(field "$TMP/s" sample_hash | uniq)" ]
	fails 1 "sample: 7 rows, not the 8 asked for ($TMP/a.jsonl 5, $TMP/b.jsonl 2)" \
		plain -m "$MODEL" --rows --sample 8 --strategy global "$TMP"/{a,b}.jsonl
}

@test "the header: no model, the recipe, the whole command line" {
	local h
	h=$(printf x | sha256sum | cut -d' ' -f1)
	rows a b >"$TMP/r.jsonl"
	reap-tokenize -q --keep all -m "$MODEL" -l 3,4 --recipe-id "tiny:keep24:$h" "$TMP/r.jsonl" |
		reap-show | sed -n 1p | jq -e --arg h "$h" '.kind == "tokens" and .model == null and
			.recipe == {name: "tiny:keep24", digest: $h} and (.history[0].argv | index("3,4") != null)'
}

@test "a full disk, a closed output, a reader that goes away" {
	local f=$PACKS/tool_agentic.eval.jsonl
	run bash -c "reap-tokenize -q -m '$MODEL' --rows '$f' >/dev/full"
	[ "$status" -eq 1 ]
	[[ "$output" == *"No space left"* ]]
	run bash -c "reap-tokenize -q -m '$MODEL' --rows '$f' >&-"
	[ "$status" -eq 1 ]
	run bash -c "reap-tokenize -q -m '$MODEL' --rows '$f' | head -c 1 >/dev/null; echo \${PIPESTATUS[0]}"
	[ "$output" = 141 ]
}

@test "a token stream cut anywhere is not taken for whole" {
	rows a b c | plain -m "$MODEL" --rows - >"$TMP/s"
	cut_everywhere "$TMP/s" reap-show
}

# fake_duckdb BODY: a command of that name that comes first in $FAKE.
fake_duckdb() {
	mkdir -p "$TMP/fake"
	printf '#!/bin/sh\n%s\n' "$1" >"$TMP/fake/duckdb"
	chmod +x "$TMP/fake/duckdb"
}

# table FILE: begins as Parquet does, and a fake duckdb finds JSON lines behind that.
table() {
	{ printf PAR1; cat "$TMP/r.jsonl"; } >"$1"
}

@test "Parquet through a program: the file on its input, the column quoted" {
	rows one two three >"$TMP/r.jsonl"
	table "$TMP/it's;rm -rf *"
	fake_duckdb "echo \"\$@\" >'$TMP/argv'; tail -c +5 /dev/fd/0"
	plain -m "$MODEL" --rows p="$TMP/r.jsonl" >"$TMP/a"
	PATH=$TMP/fake:$PATH plain -m "$MODEL" --rows p="$TMP/it's;rm -rf *" >"$TMP/b"
	cmp "$TMP/a" "$TMP/b"
	grep -qF "SELECT COLUMNS('^(input_ids|keep_mask|text|messages|conversations|tools|prompt|completion|instruction|input|output|reap_none)\$')" "$TMP/argv"
	# On standard input, too; and whatever signals the caller ignores.
	(
		trap '' CHLD
		PATH=$TMP/fake:$PATH plain -m "$MODEL" --rows p=- <"$TMP/it's;rm -rf *"
	) | cmp "$TMP/a" -
	# Read more than once: by way of a temporary file.
	plain -m "$MODEL" -l 2,3 --union U p="$TMP/r.jsonl" >"$TMP/a"
	PATH=$TMP/fake:$PATH plain -m "$MODEL" -l 2,3 --union U p="$TMP/it's;rm -rf *" >"$TMP/b"
	cmp "$TMP/a" "$TMP/b"
	status=0
	PATH=$TMP/fake:$PATH plain -m "$MODEL" --rows --text-column "a'b" \
		p="$TMP/it's;rm -rf *" >"$TMP/b" 2>&1 || status=$?
	[ "$status" -eq 1 ]
	grep -qF "'^(input_ids|keep_mask|a\\''b|reap_none)\$'" "$TMP/argv"
}

@test "Parquet: a reader that fails, is killed, is not needed to the end, is missing" {
	rows one two three >"$TMP/r.jsonl"
	table "$TMP/r.parquet"
	fake_duckdb "tail -c +5 | head -n 1; exit 5"
	for mode in --rows "-l 2,3"; do
		status=0
		# shellcheck disable=SC2086 # two words
		PATH=$TMP/fake:$PATH plain -m "$MODEL" $mode "$TMP/r.parquet" >"$TMP/s" 2>"$TMP/err" || status=$?
		[ "$status" -eq 1 ]
		grep -q "r.parquet: its reader failed with exit status 5" "$TMP/err"
		status=0
		reap-show "$TMP/s" >/dev/null 2>&1 || status=$?
		[ "$status" -eq 3 ]
	done
	fake_duckdb 'tail -c +5 | head -n 1; kill -9 $$'
	status=0
	PATH=$TMP/fake:$PATH plain -m "$MODEL" --rows "$TMP/r.parquet" >"$TMP/s" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
	grep -q "its reader died of signal 9" "$TMP/err"
	# What it says is part of the one line, even if it says more than a pipe holds.
	fake_duckdb '{ echo "Invalid Input: cut"; echo "LINE 1: COPY"; } >&2; exit 1'
	run env PATH="$TMP/fake:$PATH" "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows "$TMP/r.parquet"
	[ "$status" -eq 1 ]
	[ "$output" = "reap-tokenize: $TMP/r.parquet: its reader says: Invalid Input: cut" ]
	fake_duckdb 'head -c 1000000 /dev/zero | tr "\\0" x >&2; exit 1'
	run env PATH="$TMP/fake:$PATH" "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows "$TMP/r.parquet"
	[ "$status" -eq 1 ]
	[[ $output == "reap-tokenize: $TMP/r.parquet: its reader says: xxx"* ]]
	# More rows than are read ahead: the reader is stopped, which is no failure.
	fake_duckdb 'while :; do echo "{\"text\": \"again and again\"}"; done'
	PATH=$TMP/fake:$PATH plain -m "$MODEL" -l 2 -b 1 "$TMP/r.parquet" >"$TMP/s"
	mkdir "$TMP/none"
	fails 1 "nothing here reads Parquet: install the duckdb command" \
		env PATH="$TMP/none" "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows "$TMP/r.parquet"
	mkdir "$TMP/old"
	printf '#!/bin/sh\nexit 97\n' >"$TMP/old/python3"
	chmod +x "$TMP/old/python3"
	status=0
	PATH=$TMP/old "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows "$TMP/r.parquet" >"$TMP/s" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
	grep -q "nothing here reads Parquet" "$TMP/err"
	# Arrow is for python3 alone.
	printf 'ARROW1' >"$TMP/r.arrow"
	status=0
	PATH=$TMP/fake:$TMP/old "$REAP_BIN/reap-tokenize" -q -m "$MODEL" --rows "$TMP/r.arrow" >"$TMP/s" 2>"$TMP/err" || status=$?
	[ "$status" -eq 1 ]
	grep -q "nothing here reads Arrow: install pyarrow" "$TMP/err"
}

@test "rows that were not downloaded whole" {
	local f
	for f in r.jsonl r.parquet; do
		printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 9\n' 0 >"$TMP/$f"
		fails 1 "$TMP/$f: is a Git LFS pointer" tok -m "$MODEL" --rows "$TMP/$f"
		echo '<!DOCTYPE html>' >"$TMP/$f"
		fails 1 "$TMP/$f: is a web page" tok -m "$MODEL" --rows "$TMP/$f"
		mv "$TMP/$f" "$TMP/$f.incomplete"
		fails 1 "$TMP/$f: is missing: its download is unfinished ($TMP/$f.incomplete)" \
			tok -m "$MODEL" --rows "$TMP/$f"
	done
	echo '<html>' >"$TMP/r.jsonl"
	fails 1 "standard input: is a web page" eval 'tok -m "$MODEL" --rows - <"$TMP/r.jsonl"'
}

@test "a damaged tokenizer is an error that names it" {
	head -c 20000 "$MODEL/tokenizer.json" >"$TMP/tokenizer.json"
	fails 1 "tokenizer.json: line " tok -t "$TMP/tokenizer.json" --rows "$PACKS/calib_prompt.eval.jsonl"
	fails 1 "tokenizer.json: No such file" tok -m "$TMP/none" --rows "$PACKS/calib_prompt.eval.jsonl"
	printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 1\n' 0 >"$TMP/tokenizer.json"
	fails 1 "tokenizer.json: is a Git LFS pointer" tok -m "$TMP" --rows "$PACKS/calib_prompt.eval.jsonl"
	echo '<html><body>404</body></html>' >"$TMP/tokenizer.json"
	fails 1 "tokenizer.json: is a web page" tok -m "$TMP" --rows "$PACKS/calib_prompt.eval.jsonl"
	mv "$TMP/tokenizer.json" "$TMP/tokenizer.json.incomplete"
	fails 1 "tokenizer.json: is missing: its download is unfinished" tok -t "$TMP/tokenizer.json" --rows "$PACKS/calib_prompt.eval.jsonl"
	echo '{}' >"$TMP/tokenizer.json"
	fails 1 "tokenizer.json: " tok -m "$TMP" --rows "$PACKS/calib_prompt.eval.jsonl"
}

@test "10 MB of mixed text as Hugging Face tokenizers has it (needs REAP_TOKENIZER and tokenizers)" {
	[ -n "${REAP_TOKENIZER:-}" ] || skip "REAP_TOKENIZER does not name a tokenizer.json"
	python3 -c 'import tokenizers' 2>/dev/null || skip "python3 has no tokenizers"
	python3 tests/fixtures/tokenizer/oracle.py compare "$REAP_TOKENIZER" "$REAP_BUILD/gen/encode" 10
}

# said OPTION...: what reap-tokenize says on standard error; its status in $TMP/rc.
said() {
	local rc=0
	reap-tokenize --no-history "$@" 2>&1 >"$TMP/s" || rc=$?
	echo "$rc" >"$TMP/rc"
}

@test "a pack of which nothing is kept is an error that says what was looked for" {
	local chatml='<|im_start|>assistant
	hi<|im_end|>'
	for r in "$(rows "$chatml" plain)" '{"input_ids": [5, 6], "keep_mask": [0, 0]}'; do
		for mode in --rows "-l 2" "--pack-rows 2"; do
			# shellcheck disable=SC2086 # two words
			said -m "$MODEL" $mode p=<(echo "$r") >"$TMP/err"
			[ "$(cat "$TMP/rc")" -eq 1 ]
			grep -q 'pack p: nothing is kept of its [12] rows: .*<|start|>assistant.*<|channel|>.*--keep all' "$TMP/err"
			run reap-show "$TMP/s"
			[ "$status" -eq 3 ]
		done
	done
	rows "$chatml" plain >"$TMP/r"
	said -m "$MODEL" --rows --keep all "$TMP/r" >/dev/null
	[ "$(cat "$TMP/rc")" -eq 0 ]
	said -m "$MODEL" -l 4 -b 1 p=<(chat messages) >"$TMP/err"
	[ "$(cat "$TMP/rc")" -eq 1 ]
	grep -q 'pack p: nothing is kept in its 1 blocks: .* more or longer blocks' "$TMP/err"
	# One pack of several is enough.
	said -m "$MODEL" --rows --sample 3 good=<(chat messages) bad=<(rows a b) >"$TMP/err"
	[ "$(cat "$TMP/rc")" -eq 1 ]
	grep -q 'pack bad: nothing is kept' "$TMP/err"
}

@test "few rows and few kept tokens are a warning" {
	for i in $(seq 100); do jq -cn --arg i "$i" '{prompt: $i, completion: "yes"}'; done >"$TMP/r"
	[ -z "$(said -q -m "$MODEL" --rows "$TMP/r")" ]
	[ "$(said -q -m "$MODEL" --rows --sample 100 a="$TMP/r" b="$TMP/r")" = \
		"reap-tokenize: pack b: its rows are those of pack a, so they count twice" ]
	[ "$(said -q -m "$MODEL" --rows p=<(tail -n +2 "$TMP/r"))" = "reap-tokenize: pack p: only 99 rows, which may not stand for other rows" ]
	# Of several lengths, once: of the first that leaves out so many rows.
	[[ $(said -q -m "$MODEL" -l 4,1000,511 p="$TMP/r") == "reap-tokenize: pack p: only 92 rows, which may not stand for other rows" ]]
	[ "$(said -q -m "$MODEL" --rows --sample 50 a="$TMP/r" b="$TMP/r" | grep -v twice)" = "reap-tokenize: sample: only 50 rows, which may not stand for other rows" ]
	jq -cn '{input_ids: [range(401)], keep_mask: [range(401) | if . == 7 or . < 3 then 1 else 0 end]}' >"$TMP/r"
	said -q --rows p="$TMP/r" | grep -qx 'reap-tokenize: pack p: only 4 of its 401 tokens are kept'
	jq -c '.input_ids |= .[:400] | .keep_mask |= .[:400]' "$TMP/r" >"$TMP/just"
	[ "$(said -q --rows p="$TMP/just")" = "reap-tokenize: pack p: only 1 row, which may not stand for other rows" ]
	# The summary of the stream, the card and the report have them, too.
	said -q --rows p="$TMP/r" q="$TMP/just" >/dev/null
	[ "$(reap-show -s "$TMP/s" | grep '^warning')" = "warning  pack p: only 4 of its 401 tokens are kept
warning  pack p: only 1 row, which may not stand for other rows
warning  pack q: only 1 row, which may not stand for other rows" ]
	reap-recipe --json recipes/tiny-keep24.yaml >"$TMP/recipe.yaml"
	reap-rewrite -q -m "$MODEL" --first 24 -o "$TMP/cut" >"$TMP/manifest"
	pipelines/card/card --recipe "$TMP/recipe.yaml" --manifest "$TMP/manifest" --source "$MODEL" --model "$TMP/cut" --tokens "$TMP/s" >"$TMP/card"
	grep -qxF '**Warning:** pack q: only 1 row, which may not stand for other rows' "$TMP/card"
}

@test "what became of the rows: in the pack record, on standard error, in a summary" {
	local end='<|end|>' a='<|start|>assistant<|channel|>'
	{
		rows "<|start|>user<|message|>q$end${a}final<|message|>whole<|return|>"
		rows "<|channel|>analysis<|message|>raw$end${a}final<|message|>x<|return|>"
		rows "<|start|>user<|message|>q$end${a}final<|message|>cut off"
		rows "nobody's" " "
		echo '{"body": "no text"}'
	} >"$TMP/r"
	said -m "$MODEL" --rows p="$TMP/r" >"$TMP/err"
	reap-show -t pack "$TMP/s" | jq -e '.rows_read == 6 and .rows_seen == 4 and .rows_kept == 3 and
		.skipped == {no_text: 2, bad: 0, other_part: 0, not_sampled: 0} and
		.completions == 1 and .cut_off == 1 and .channels.analysis > 0 and .channels.other == 0 and
		([.channels[]] | add) == .kept'
	grep -q 'pack p: 6 rows read, 3 with something kept; skipped: no_text 2; [0-9]* of [0-9]* tokens kept (analysis [0-9]*, final [0-9]*)' "$TMP/err"
	said -m "$MODEL" --rows --max-len 7 p="$TMP/r" >"$TMP/short"
	grep -q 'pack p: 3 rows are longer than 7 tokens, of which only the last are taken' "$TMP/short"
	reap-show -t pack "$TMP/s" | jq -e '.shortened == 3'
	reap-show "$TMP/s" | reap-show --encode tokens --no-history | cmp - "$TMP/s"
	reap-show "$TMP/s" | jq -c 'if .shortened then .shortened = 5 else . end' | reap-show --encode tokens >"$TMP/x"
	fails 3 "rows_seen: 4, fewer than 5 of them" reap-route -q -m "$MODEL" "$TMP/x"
	said -m "$MODEL" --pack-rows 9 --row-max 8 p="$TMP/r" >"$TMP/short"
	grep -q 'pack p, length 9: 3 rows are longer than 8 tokens, of which only the last are taken' "$TMP/short"
	[ "$(said -q -m "$MODEL" --rows p="$TMP/r")" = "reap-tokenize: pack p: only 3 rows, which may not stand for other rows" ]
	grep -q 'pack p: 1 rows begin with <|channel|>' "$TMP/err"
	grep -q 'pack p: 1 rows end in an unfinished answer' "$TMP/err"
	reap-show -s "$TMP/s" | grep '^pack ' | grep -q ' skipped.no_text=2 .* channels.final='
	said -m "$MODEL" --rows p=<(sed -n 3p "$TMP/r") >"$TMP/err"
	run grep -e 'begin with' -e 'longer than' "$TMP/err"
	[ "$status" -eq 1 ]
	# Read no further than the block needs: the rows ahead do not count.
	plain -m "$MODEL" -l 4 -b 1 p="$TMP/r" >"$TMP/s"
	[ "$(field "$TMP/s" rows_read)" = 1 ]
	# Splits and samples.
	for i in $(seq 40); do jq -cn --arg i "$i" '{prompt: $i, completion: "yes"}, {x: 1}'; done >"$TMP/r"
	tok -m "$MODEL" --rows --holdout 0.5 --split calib p="$TMP/r" >"$TMP/a"
	tok -m "$MODEL" --rows --holdout 0.5 --split eval p="$TMP/r" >"$TMP/b"
	[ "$(field "$TMP/a" rows_read)" = 80 ]
	[ "$(field "$TMP/a" skipped.no_text)" = 40 ]
	[ "$(field "$TMP/a" skipped.other_part)" = "$(field "$TMP/b" rows_seen)" ]
	tok -m "$MODEL" --rows --sample 5 p="$TMP/r" q=<(chat messages) >"$TMP/a"
	[ "$(reap-show -t pack "$TMP/a" | jq -c '[.rows_read, .rows_seen, .skipped.no_text, .skipped.not_sampled]' | tr '\n' ' ')" = \
		"[80,3,40,37] [2,2,0,0] " ]
	tok -m "$MODEL" -l 64 --union U p="$TMP/r" q=<(chat messages; chat pair; chat alpaca) >"$TMP/a"
	[ "$(field "$TMP/a" rows_read | tr '\n' ' ')" = "80 6 86 " ]
}

@test "rows count as kept when a block has a kept token of them" {
	# 5 tokens and an EOS each; the first of each row is kept.
	for _ in $(seq 120); do echo '{"input_ids": [5, 6, 7, 8, 9], "keep_mask": [1, 0, 0, 0, 0]}'; done >"$TMP/r"
	tok -t "$MODEL/tokenizer.json" --eos 2 -l 400 p="$TMP/r" >"$TMP/s" 2>"$TMP/err"
	# 400 tokens hold the heads of 67 rows, of which nothing predicts the first.
	[ "$(field "$TMP/s" rows_kept),$(field "$TMP/s" kept),$(field "$TMP/s" rows_seen)" = 66,66,120 ]
	grep -q 'pack p: only 66 rows' "$TMP/err"
	# A row that runs on counts once.
	tok -t "$MODEL/tokenizer.json" --eos 2 -l 2 p=<(echo '{"input_ids": [5, 6, 7, 8, 9, 10]}') >"$TMP/s" 2>"$TMP/err"
	[ "$(field "$TMP/s" rows_kept),$(field "$TMP/s" kept)" = 1,3 ]
	tok -t "$MODEL/tokenizer.json" --eos 2 --pack-rows 400 p="$TMP/r" >"$TMP/s" 2>"$TMP/err"
	[ "$(field "$TMP/s" rows_kept),$(field "$TMP/s" kept)" = 67,67 ]
}

@test "labels of -100 are not kept, unless there is a mask" {
	is() { echo "$1" >"$TMP/r"; [ "$(tok --rows p="$TMP/r" 2>"$TMP/err" | reap-show -t block | jq -c .keep)" = "$2" ]; }
	is '{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}' '[0,1,1]'
	is '{"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "keep_mask": [1, 0, 0]}' '[1,0,0]'
	is '{"input_ids": [5, 6, 7], "labels": 1, "keep_mask": null}' '[1,1,1]'
	echo '{"input_ids": [5, 6, 7], "labels": [-100]}' >"$TMP/r"
	fails 1 "r: line 1: labels: not as many as input_ids" tok --rows "$TMP/r"
}

@test "numbers of calls are exact, or an error" {
	local m='{messages: [{role: "user", content: "q"}, {role: "assistant", tool_calls: [{name: "f", arguments: {n: 3, x: 0.5}}]}]}'
	jq -cn "$m" >"$TMP/r"
	reap-tokenize -q --no-history -m "$MODEL" --rows p="$TMP/r" >"$TMP/want" 2>"$TMP/err"
	sed 's/^{/{"hash": 12345678901234567890, /' "$TMP/r" >"$TMP/beside"
	fails 1 "beside: line 1: numbers in calls or tools beside an integer beyond 64 bits" tok -m "$MODEL" --rows "$TMP/beside"
	sed 's/:3,/:12345678901234567890,/' "$TMP/r" >"$TMP/within"
	fails 1 "within: line 1: numbers in calls or tools beside an integer beyond 64 bits" tok -m "$MODEL" --rows "$TMP/within"
	# Text is exact.
	jq -c '.messages[1].tool_calls[0].arguments |= "{\"n\": 12345678901234567890}"' "$TMP/r" | sed 's/^{/{"hash": 12345678901234567890, /' >"$TMP/text"
	tok -m "$MODEL" --rows "$TMP/text" >"$TMP/s"
	reap-show --text "$MODEL/tokenizer.json" "$TMP/s" | jq -rs 'map(.text) | add' | grep -qF '{"n":␣12345678901234567890}'
}

@test "a completion without its start, a last turn without its end: the same tokens are kept" {
	local t='<|channel|>analysis<|message|>think<|end|><|start|>assistant<|channel|>final<|message|>say'
	kept() { reap-show -t block "$1" | jq -c '[[.ids, .keep, .channel] | transpose[] | select(.[1] == 1)]'; }
	tok -m "$MODEL" --rows <(rows "<|start|>assistant$t<|return|>") >"$TMP/a"
	tok -m "$MODEL" --rows <(rows "$t") >"$TMP/b"
	tok -m "$MODEL" --rows <(jq -cn --arg t "$t" '{prompt: "a question", completion: $t}') >"$TMP/c"
	[ "$(kept "$TMP/a")" = "$(kept "$TMP/b")" ]
	[ "$(kept "$TMP/a")" = "$(kept "$TMP/c")" ]
	[ "$(field "$TMP/c" cut_off),$(field "$TMP/c" completions)" = 1,0 ]
	# Behind a prompt in plain text it is the row of these messages.
	tok -m "$MODEL" --rows p=<(jq -cn --arg t "$t<|return|>" '{prompt: "a <|end|>", completion: $t}') >"$TMP/c"
	tok -m "$MODEL" --rows p=<(jq -cn '{messages: [{role: "user", content: "a <|end|>"}, {role: "assistant", thinking: "think", content: "say"}]}') | cmp - "$TMP/c"
}

@test "Harmony within an assistant's message is an error, or a bad row that is counted" {
	jq -cn '{prompt: "q", completion: "a"}, {messages: [{role: "user", content: "q"},
		{role: "assistant", content: "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b"}]}' >"$TMP/r"
	fails 1 "r: line 2: message 1: Harmony (<|channel|>analysis) within an assistant's message" tok -m "$MODEL" --rows "$TMP/r"
	tok -m "$MODEL" --rows --bad-rows skip "$TMP/r" >"$TMP/s"
	[ "$(field "$TMP/s" skipped.bad)" = 1 ]
}

# many: rows in which an element of an array could be thought to end too early.
many() {
	for i in $(seq 50); do jq -cn --arg i "$i" '{prompt: $i, completion: ("\\\" } ] [ { " + $i)}'; done
}

@test "the same rows as lines, an array, compressed, with a byte order mark: the same bytes" {
	many >"$TMP/r.jsonl"
	plain -m "$MODEL" --rows p="$TMP/r.jsonl" >"$TMP/want"
	plain -m "$MODEL" -l 64,96 --union U p="$TMP/r.jsonl" >"$TMP/union"
	jq -s . "$TMP/r.jsonl" >"$TMP/array.json"
	jq -cs . "$TMP/r.jsonl" >"$TMP/dense.json"
	{ printf '\xef\xbb\xbf'; cat "$TMP/r.jsonl"; } >"$TMP/mark.jsonl"
	{ printf '\xef\xbb\xbf \n'; cat "$TMP/array.json"; } >"$TMP/mark.json"
	gzip -c "$TMP/array.json" >"$TMP/array.gz"
	{ head -n 20 "$TMP/r.jsonl" | gzip; tail -n +21 "$TMP/r.jsonl" | gzip; } >"$TMP/two.gz"
	{ head -n 20 "$TMP/r.jsonl" | zstd; tail -n +21 "$TMP/r.jsonl" | zstd; } >"$TMP/two.zst"
	for f in array.json dense.json mark.jsonl mark.json array.gz two.gz two.zst; do
		plain -m "$MODEL" --rows p="$TMP/$f" | cmp - "$TMP/want"
		plain -m "$MODEL" --rows p=- <"$TMP/$f" | cmp - "$TMP/want"
		plain -m "$MODEL" -l 64,96 --union U p="$TMP/$f" | cmp - "$TMP/union"
		# A sample reads its rows again.
		plain -m "$MODEL" --rows --sample 9 p="$TMP/$f" >"$TMP/s"
		plain -m "$MODEL" --rows --sample 9 p="$TMP/r.jsonl" | cmp - "$TMP/s"
	done
	plain -m "$MODEL" --rows p=<(cat "$TMP/dense.json") | cmp - "$TMP/want"
	cp "$TMP/two.gz" "$TMP/name.jsonl.gz"
	plain -m "$MODEL" --rows "$TMP/name.jsonl.gz" >"$TMP/s"
	[ "$(field "$TMP/s" pack)" = name ]
}

@test "a compressed file or an array that is cut short or damaged is an error" {
	many >"$TMP/r.jsonl"
	gzip -c "$TMP/r.jsonl" >"$TMP/r.gz"
	head -c 200 "$TMP/r.gz" >"$TMP/cut.gz"
	fails 1 "cut.gz: damaged gzip: it is cut short" tok -m "$MODEL" --rows "$TMP/cut.gz"
	{ head -c 100 "$TMP/r.gz"; head -c 200 /dev/zero; tail -c +301 "$TMP/r.gz"; } >"$TMP/bad.gz"
	fails 1 "bad.gz: damaged gzip: " tok -m "$MODEL" --rows "$TMP/bad.gz"
	zstd -c "$TMP/r.jsonl" | head -c 80 >"$TMP/cut.zst"
	fails 1 "cut.zst: damaged zstd: it is cut short" tok -m "$MODEL" --rows "$TMP/cut.zst"
	jq -cs . "$TMP/r.jsonl" | head -c 1000 >"$TMP/cut.json"
	fails 1 "cut.json: element 22: the array ends" tok -m "$MODEL" --rows "$TMP/cut.json"
	for a in '[{"text":"a"},5]' '[{"text":"a"} {"text":"b"}]' '[{"text":"a"},]' '[,{"text":"a"}]' '[{"text":"a"},,{"text":"b"}]'; do
		fails 1 ": not an object, or no comma before it" plain -m "$MODEL" --rows <(echo "$a")
	done
	fails 1 "element 1: not an object" timeout 10 "$REAP_BIN/reap-tokenize" -m "$MODEL" --rows --max-len 64 \
		<(printf ' [' && cat /dev/zero)
	fails 1 "element 2: " plain -m "$MODEL" --rows <(echo '[{"text":"a"},{"text" "b"}]')
	fails 1 "has no rows" tok -m "$MODEL" --rows <(echo '[]')
}

@test "bad rows: an error, or counted and named" {
	{ rows a; echo '{bad'; rows b; echo '{"input_ids": "x"}'; } >"$TMP/r"
	fails 1 "r: line 2: " plain -m "$MODEL" --rows "$TMP/r"
	said -m "$MODEL" --keep all --bad-rows skip --rows p="$TMP/r" >"$TMP/err"
	[ "$(cat "$TMP/rc")" -eq 0 ]
	[ "$(field "$TMP/s" skipped.bad)" = 2 ]
	[ "$(field "$TMP/s" rows_seen)" = 2 ]
	grep -q "pack p: 2 bad rows skipped" "$TMP/err"
	grep -q "the first bad row: $TMP/r: line 2: " "$TMP/err"
	! grep "a bad row: " "$TMP/err" || false
	# -v names the first 20, each once, however often the rows are read.
	said -v -m "$MODEL" --keep all --bad-rows skip --rows --sample 2 p="$TMP/r" >"$TMP/err"
	[ "$(grep -oE "bad row: $TMP/r: line [0-9]+: " "$TMP/err" | paste -sd,)" = "bad row: $TMP/r: line 2: ,bad row: $TMP/r: line 4: " ]
	{ rows a b; seq 30 | sed 's/^/{/'; } >"$TMP/many"
	said -v -m "$MODEL" --keep all --bad-rows skip --rows p="$TMP/many" >"$TMP/err"
	[ "$(grep -c "bad row: " "$TMP/err")" -eq 20 ]
	plain -q -m "$MODEL" --bad-rows skip --rows --sample 2 p="$TMP/r" >"$TMP/s"
	[ "$(field "$TMP/s" skipped.bad)" = 2 ]
	fails 2 "--bad-rows: 'drop' is not fail or skip" tok -m "$MODEL" --bad-rows drop --rows "$TMP/r"
}

# kept TEXT: what is kept of it, by channel.
kept() {
	jq -cn --arg t "$1" '{text: $t}' >"$TMP/r"
	by_channel
}

@test "the assistant's words by the tags of ChatML, GLM and MiniMax" {
	local q=$'<|im_start|>system\nbe<|im_end|>\n<|im_start|>user\nq <think>no</think><|im_end|>\n<|im_start|>assistant\n'
	speaks '<|im_start|>' '<|im_end|>'
	[ "$(kept "$q"'<think>hm</think>yes<tool_call>{"f": 1}</tool_call><|im_end|>'$'\n''<|im_start|>tool'$'\n''r<|im_end|>')" = \
		'analysis:hm final:yes tool_call:{"f": 1}' ]
	[ "$(field "$TMP/s" cut_off)" = 0 ]
	[ "$(kept "$q"'one<|im_end|>'$'\n''<|im_start|>assistants'$'\n''no<|im_end|><|im_start|>assistant'$'\n''two')" = "final:onetwo" ]
	[ "$(field "$TMP/s" cut_off)" = 1 ]
	[ "$(kept "$q"'<think>on and on')" = "analysis:on and on" ]
	speaks '<|user|>' '<|assistant|>' '<|observation|>' '<|system|>'
	[ "$(kept $'[gMASK]<sop><|user|>\nq<|assistant|>\n<think>hm</think>\nyes<|observation|>\nr<|assistant|>\nend')" = \
		'analysis:hm final:/yesend' ]
	[ "$(field "$TMP/s" cut_off)" = 0 ]
	# Tags that close what nothing opened: GLM-4.7 writes one for a turn without thinking.
	[ "$(kept '[gMASK]<sop><|user|>q<|assistant|></think>yes<|user|>r<|assistant|>hm</think>no')" = 'final:yes analysis:hm final:no' ]
	[ "$(kept '<|assistant|><think>a</think>b</think>c<|assistant|><tool_call></think></tool_call>d')" = \
		'analysis:a final:b</think>c tool_call:</think> final:d' ]
	speaks ']~b]' '[e~['
	[ "$(kept $']~b]user\nq[e~[\n]~b]ai\n<think>hm</think>yes<minimax:tool_call>f</minimax:tool_call>[e~[\n]~b]tool\nr[e~[')" = \
		'analysis:hm final:yes tool_call:f' ]
	# A text without them says which were looked for.
	rows "<|start|>assistant<|message|>x<|end|>" >"$TMP/r"
	fails 1 "no text of an assistant (]~b]ai)" tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
}

@test "many turns or calls in one text, in time proportional to it" {
	speaks '<|user|>' '<|assistant|>'
	# This would take minutes if each tag looked for its end up to the end of the text.
	local many=100000
	[[ "$REAP_BUILD" != *san* ]] || many=10000 # a sanitizer is slow in any case
	jq -cn --argjson n "$many" '{text: ("<|assistant|>x" * 5 * $n)}, {text: ("<|assistant|>" + "<tool_call>x</tool_call>" * 3 * $n)}' >"$TMP/r"
	tok() { timeout 100 reap-tokenize -q --no-history "$@"; }
	tok -t "$TMP/tokenizer.json" --rows p="$TMP/r" >"$TMP/s" 2>"$TMP/err"
	[ "$(reap-show -t block "$TMP/s" | wc -l)" -eq 2 ]
}
