# SPDX-License-Identifier: MIT
# What the tests of text share.

# rows TEXT...: JSON lines of these texts.
rows() {
	jq -cn '$ARGS.positional[] | {text: .}' --args "$@"
}

# field STREAM KEY: of each pack record.
field() {
	reap-show -t pack "$1" | jq -r ".$2"
}

tok() {
	reap-tokenize -q --no-history "$@"
}

# speaks TAG...: a tokenizer like that of the model, with these tags instead of Harmony's.
speaks() {
	jq '[$ARGS.positional[] | {content: ., special: true}] as $t | .added_tokens |= (.[:2] + [range($t | length) as $i |
		.[2 + $i] + $t[$i]])' "$MODEL/tokenizer.json" --args "$@" >"$TMP/tokenizer.json"
}

# by_channel: what is kept of the row r, and in which channel; the stream is s.
by_channel() {
	tok -t "$TMP/tokenizer.json" --rows p="$TMP/r" >"$TMP/s" 2>"$TMP/err"
	reap-show --text "$TMP/tokenizer.json" "$TMP/s" |
		jq -rs '[.[] | select(.kept)] | reduce .[] as $t ([]; if .[-1][0] == $t.channel then .[-1][1] += $t.text else . + [[$t.channel, $t.text]] end) |
			map("\(.[0]):\(.[1])") | join(" ") | gsub("⏎"; "/") | gsub("␣"; " ")'
}
