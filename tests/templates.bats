#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Conversations by a model's own chat template.
load helpers
load text

# Templates are run by the python3 that has Debian's jinja2.
template() {
	cat >"$TMP/chat_template.jinja"
	export PATH=$REAP_BIN:/usr/bin:$PATH
	python3 -c 'import jinja2' 2>/dev/null || skip "python3 has no jinja2"
}

# turns ROW: what is kept of the row, by channel.
turns() {
	jq -cn "$1" >"$TMP/r"
	by_channel
}

TWO_TURNS='{messages: [{role: "user", content: "q"}, {role: "assistant", thinking: "hm", content: "one"},
	{role: "user", content: "r"}, {role: "assistant", reasoning: "so", content: "two", tool_calls: [{function: {name: "f", arguments: "{\"a\": 1}"}}]}]}'

@test "conversations by the model's own template, in ChatML; one that rewrites history is named" {
	speaks '<|im_start|>' '<|im_end|>'
	template <<-'END'
		{%- for m in messages %}
		{{- '<|im_start|>' + m.role + '\n' }}
		{%- if m.reasoning_content and loop.last %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}
		{{- m.content }}
		{%- for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>{% endfor %}
		{{- '<|im_end|>\n' }}
		{%- endfor %}
		{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
	END
	[ "$(turns "$TWO_TURNS")" = 'final:one analysis:so final:two tool_call:f {"a": 1}' ]
	grep -q 'the chat template rewrites turns once others follow, 1 of them here: kept is what it then writes (<|im_start|>assistant)' "$TMP/err"
	# The same from other forms of rows; the tags are tokens, as the model is served them.
	[ "$(turns '{prompt: "q", completion: "yes"}')" = "final:yes" ]
	[ "$(turns '{conversations: [{from: "human", value: "q"}, {from: "gpt", value: "yes"}]}')" = "final:yes" ]
	[ "$(reap-show --text "$TMP/tokenizer.json" "$TMP/s" | jq -r .text | grep -c '<|im_start|>')" = 2 ]
	# Many rows, one process; a sample reads them again.
	for i in $(seq 30); do jq -cn --arg i "$i" '{prompt: $i, completion: ("yes " + $i)}'; done >"$TMP/r"
	tok -t "$TMP/tokenizer.json" --rows --sample 9 "$TMP/r" 2>/dev/null | reap-show -t block | jq -c .ids | sort -u | wc -l | grep -qx 9
	# What a template refuses is a fault of the row.
	jq -cn '{messages: [{role: "user", content: [{type: "image"}]}]}' >"$TMP/image"
	fails 1 "image: line 1: chat template: 'text' is missing" tok -t "$TMP/tokenizer.json" --rows "$TMP/image"
	echo "{{ raise_exception('no such ' + messages[0].role) }}" >"$TMP/chat_template.jinja"
	fails 1 "r: line 1: chat template: no such user" tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
	rm "$TMP/chat_template.jinja"
	run tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
	[ "$status" -eq 1 ]
	[[ $output == *"no chat template in $TMP"* ]]
	mkdir "$TMP/none"
	fails 1 "its chat template needs python3 with jinja2" env PATH="$TMP/none" "$REAP_BIN/reap-tokenize" -q -t "$TMP/tokenizer.json" --rows "$TMP/r"
}

@test "conversations by a template of tags that nobody knows: assistant spans by rendering prefixes" {
	speaks '[INST]' '[END]'
	template <<-'END'
		{%- for m in messages %}
		{%- if m.role == 'assistant' %}{{ m.content + '[END]' }}{% else %}{{ '[INST]' + m.content + '\n' }}{% endif %}
		{%- endfor %}
	END
	[ "$(turns "$TWO_TURNS")" = 'final:onetwo' ]
	run grep rewrites "$TMP/err"
	[ "$status" -eq 1 ]
	# Earlier answers are dropped from what follows.
	template <<-'END'
		{%- for m in messages %}
		{%- if m.role == 'assistant' %}{% if loop.last %}{{ m.content + '[END]' }}{% endif %}{% else %}{{ '[INST]' + m.content + '\n' }}{% endif %}
		{%- endfor %}
	END
	[ "$(turns "$TWO_TURNS")" = 'final:two' ]
	grep -q 'the chat template rewrites turns once others follow: 1 of them are not kept' "$TMP/err"
}

# rendered: the row r as its template writes it.
rendered() {
	tok -t "$TMP/tokenizer.json" --rows "$TMP/r" 2>/dev/null | reap-show --text "$TMP/tokenizer.json" - | jq -rj .text
}

@test "a template gets what transformers gives it" {
	speaks '<|im_start|>' '<|im_end|>'
	template <<-'END'
		{{ bos_token }}{{ unk_token }}
		{%- for m in messages %}<|im_start|>{{ m.role }}
		{{ m.content }}
		{%- for c in m.tool_calls or [] %}{{ c | tojson(separators=(',', ':'), sort_keys=True) }}{% endfor %}<|im_end|>
		{%- endfor %}
	END
	jq -n '{bos_token: null, unk_token: {content: "U"}}' >"$TMP/tokenizer_config.json"
	jq -cn '{messages: [{role: "assistant", content: "x", tool_calls: [{function: {name: "f", arguments: {b: 1, a: "2"}}}]}]}' >"$TMP/r"
	[ "$(rendered)" = 'U<|im_start|>assistant⏎x{"function":{"arguments":{"a":"2","b":1},"name":"f"},"type":"function"}<|im_end|>' ]
	# One for rows with tools.
	rm "$TMP/chat_template.jinja"
	jq -n '[{name: "default", template: "<|im_start|>assistant\nd<|im_end|>"},
		{name: "tool_use", template: "<|im_start|>assistant\nt<|im_end|>"}] | {chat_template: .}' >"$TMP/tokenizer_config.json"
	[ "$(rendered)" = '<|im_start|>assistant⏎d<|im_end|>' ]
	jq -c '.tools = [{name: "f"}]' "$TMP/r" >"$TMP/r2"
	mv "$TMP/r2" "$TMP/r"
	[ "$(rendered)" = '<|im_start|>assistant⏎t<|im_end|>' ]
	# No module of the folder in which the tool runs.
	mkdir "$TMP/here"
	echo 'raise SystemExit("foreign code")' >"$TMP/here/json.py"
	(cd "$TMP/here" && rendered) | grep -qx '<|im_start|>assistant⏎t<|im_end|>'
}

@test "a template that cannot be read is named in one line" {
	speaks '<|im_start|>' '<|im_end|>'
	template <<<'{% for m in messages %}'
	jq -cn '{messages: [{role: "user", content: "q"}]}' >"$TMP/r"
	unread() {
		run tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
		[ "$status" -eq 1 ]
		[ "${#lines[@]}" -eq 1 ]
		[[ $output == *"r: line 1: chat template: $TMP$1"* ]]
	}
	unread ", line 1 of the template 'default': Unexpected end of template"
	printf '\xff' >"$TMP/chat_template.jinja"
	unread "/chat_template.jinja: 'utf-8' codec can't decode"
	rm "$TMP/chat_template.jinja"
	mkfifo "$TMP/chat_template.jinja"
	unread "/chat_template.jinja: not a regular file"
	rm "$TMP/chat_template.jinja"
	echo '{' >"$TMP/tokenizer_config.json"
	unread "/tokenizer_config.json: Expecting property name"
	echo '[]' >"$TMP/tokenizer_config.json"
	unread "/tokenizer_config.json: not an object"
}

@test "a template that never ends ends with the tool" {
	local tool child status=0
	speaks '<|im_start|>' '<|im_end|>'
	template <<<'{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}'
	jq -cn '{messages: [{role: "user", content: "q"}]}' >"$TMP/r"
	reap-tokenize -q -t "$TMP/tokenizer.json" --rows "$TMP/r" >"$TMP/s" 3>&- &
	tool=$!
	until child=$(cat /proc/$tool/task/*/children) && [ -n "$child" ]; do sleep 0.1; done
	sleep 1
	kill $tool
	wait $tool || status=$?
	[ "$status" -eq 143 ]
	# Within a minute, were the machine that busy; else it would be here for days.
	for _ in $(seq 600); do
		kill -0 $child 2>/dev/null || return 0
		sleep 0.1
	done
	kill $child
	return 1
}
