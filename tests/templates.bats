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
	grep -q 'the chat template rewrites turns that others follow, 1 of them here: what it writes in the end is kept (<|im_start|>assistant)' "$TMP/err"
	# The same from other forms of rows; the tags are tokens, as the model is served them.
	[ "$(turns '{prompt: "q", completion: "yes"}')" = "final:yes" ]
	[ "$(turns '{conversations: [{from: "human", value: "q"}, {from: "gpt", value: "yes"}]}')" = "final:yes" ]
	[ "$(reap-show --text "$TMP/tokenizer.json" "$TMP/s" | jq -r .text | grep -c '<|im_start|>')" = 2 ]
	# Many rows, one process; a sample reads them again.
	for i in $(seq 30); do jq -cn --arg i "$i" '{prompt: $i, completion: ("yes " + $i)}'; done >"$TMP/r"
	tok -t "$TMP/tokenizer.json" --rows --sample 9 "$TMP/r" 2>/dev/null | reap-show -t block | jq -c .ids | sort -u | wc -l | grep -qx 9
	# Calls as JSON text are calls here, too.
	[ "$(turns '{conversations: [{from: "human", value: "q"}, {from: "function_call", value: "{\"name\": \"f\", \"arguments\": {}}"}]}')" = 'tool_call:f {}' ]
	[ "$(turns '{messages: [{role: "user", content: "q"}, {role: "assistant", content: "", tool_calls: "[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]"}]}')" = 'tool_call:f {"a": 1}' ]
	jq -cn '{prompt: "q", completion: "<|channel|>final<|message|>a"}' >"$TMP/raw"
	fails 1 "raw: line 1: a completion in Harmony, which this model does not speak" tok -t "$TMP/tokenizer.json" --rows "$TMP/raw"
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
	grep -q 'the chat template rewrites turns that others follow: nothing is kept of 1 such turns' "$TMP/err"
}

@test "templates shaped as those of Qwen3, GLM-4.5, MiniMax-M2 and Llama 3: texts and marks as transformers has them" {
	local tags name
	template </dev/null
	echo '{"bos_token": "<s>"}' >"$TMP/tokenizer_config.json"
	while read -r name tags; do
		# shellcheck disable=SC2086 # words
		speaks $tags
		cp "tests/fixtures/templates/$name.jinja" "$TMP/chat_template.jinja"
		jq -c --arg t "$name" 'select(.template == $t)' tests/fixtures/templates/vectors.jsonl >"$TMP/v"
		[ "$(jq -c 'select(.text).row' "$TMP/v" | tee "$TMP/r" | wc -l)" -ge 5 ]
		tok -t "$TMP/tokenizer.json" --rows --max-len 9999 --chat-date 2025-11-05 "$TMP/r" >"$TMP/s" 2>"$TMP/err"
		# A token within a character is shown as U+FFFD, and a blank as a sign.
		reap-show --text "$TMP/tokenizer.json" "$TMP/s" |
			jq -cs 'group_by(.block)[] | {text: map(.text) | add, kept: map(if .kept then .text else "|" end) | add | [scan("[^|]+")]} |
				map_values(tojson | gsub("\ufffd"; "") | gsub("␣"; " ") | fromjson)' >"$TMP/got"
		jq -c 'select(.text) | {text: .text | gsub("\n"; "⏎"), kept: .marked | map(gsub("\n"; "⏎") | rtrimstr("[END]"))}' "$TMP/v" >"$TMP/want"
		[ "$name" = marked ] || for f in got want; do jq -c .text "$TMP/$f" >"$TMP/texts" && mv "$TMP/texts" "$TMP/$f"; done
		diff "$TMP/want" "$TMP/got"
		# What a template refuses is refused.
		jq -c 'select(.error)' "$TMP/v" | while read -r v; do
			jq -c .row <<<"$v" >"$TMP/r"
			fails 1 "chat template: $(jq -r .error <<<"$v")" tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
		done
	done <<-'END'
		chatml <|im_start|> <|im_end|>
		glm <|user|> <|assistant|>
		minimax ]~b] [e~[
		dated <|start_header|> <|eot|>
		marked [BOT] [END]
	END
}

@test "what is kept by such templates, in which channel" {
	template <tests/fixtures/templates/chatml.jinja
	speaks '<|im_start|>' '<|im_end|>'
	[ "$(turns "$TWO_TURNS")" = 'final:one analysis:/so/ final://two/ tool_call:/{"name": "f", "arguments": {"a": 1}}/' ]
	template <tests/fixtures/templates/glm.jinja
	speaks '<|user|>' '<|assistant|>'
	turns "$TWO_TURNS"
	[ "$(turns "$TWO_TURNS")" = 'final:/one analysis:so final:/two/ tool_call:f/<arg_key>a</arg_key>/<arg_value>1</arg_value>/' ]
	template <tests/fixtures/templates/minimax.jinja
	speaks ']~b]' '[e~['
	[ "$(turns "$TWO_TURNS")" = 'final:one analysis:/so/ final://two/ tool_call:/<invoke name="f">/<parameter name="a">1</parameter>/</invoke>/' ]
	template <tests/fixtures/templates/marked.jinja
	speaks '[BOT]' '[END]'
	[ "$(turns "$TWO_TURNS")" = 'final:one(so) two/f {"a":1}' ]
	grep -q '1 of them here: what it writes in the end is kept ({% generation %})' "$TMP/err"
	# An answer that nobody asked for: rendered without what is before it, it may be refused.
	template <<<"{% if messages[0] is undefined %}{{ raise_exception('nobody asks') }}{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}[END]{% endfor %}"
	[ "$(turns '{messages: [{role: "assistant", content: "a"}, {role: "user", content: "q"}, {role: "assistant", content: "b"}]}')" = 'final:[assistant]b' ]
}

@test "a template's date: what --chat-date says, else none" {
	template <tests/fixtures/templates/dated.jinja
	speaks '<|start_header|>' '<|eot|>'
	jq -cn '{messages: [{role: "user", content: "q"}, {role: "assistant", content: "a"}]}' >"$TMP/r"
	[[ "$(rendered)" == *"Today: 26 Jul 2024"* ]]
	[[ "$(rendered --chat-date 2025-02-03)" == *"Today: 03 Feb 2025"* ]]
	template <<<"{{ strftime_now('%Y') }}"
	fails 1 "r: line 1: chat template: it asks for the date: give --chat-date" tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
	fails 2 "--chat-date: '2025-02-30' is neither a day" tok -t "$TMP/tokenizer.json" --chat-date 2025-02-30 --rows "$TMP/r"
}

@test "what a message holds besides its text reaches the template; tools get the form of OpenAI" {
	speaks '<|im_start|>' '<|im_end|>'
	template <<<"{% for m in messages %}<|im_start|>assistant{{ '\n' ~ m.thinking ~ m.reasoning ~ m.reasoning_content ~ m.mood ~ m.weight }}<|im_end|>{% endfor %}{{ tools | tojson }}{{ documents is none }}"
	jq -cn '{messages: [{role: "assistant", content: "x", reasoning: "r", mood: "good", weight: 1, name: null}], tools: [{name: "f"}]}' >"$TMP/r"
	[ "$(rendered)" = '<|im_start|>assistant⏎rrrgood1<|im_end|>[{"type": "function", "function": {"name": "f"}}]True' ]
}

# rendered [OPTION...]: the row r as its template writes it.
rendered() {
	tok -t "$TMP/tokenizer.json" --rows "$@" "$TMP/r" 2>/dev/null | reap-show --text "$TMP/tokenizer.json" - | jq -rj '.text | gsub("␣"; " ")'
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

@test "arguments of a call: no text is no arguments, and text that is no JSON is named" {
	speaks '<|im_start|>' '<|im_end|>'
	template <<-'END'
		{%- for m in messages %}<|im_start|>assistant
		{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}<|im_end|>
		{%- endfor %}
	END
	jq -cn '{messages: [{role: "assistant", content: "", tool_calls: [{function: {name: "f", arguments: ""}}]}]}' >"$TMP/r"
	[ "$(rendered)" = '<|im_start|>assistant⏎{}<|im_end|>' ]
	sed -i 's/"arguments":""/"arguments":"{a"/' "$TMP/r"
	fails 1 'line 1: chat template: tool_calls: arguments are not JSON: ' tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
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
	fails 1 "$TMP/chat_template.jinja: not a regular file" tok -t "$TMP/tokenizer.json" --rows "$TMP/r"
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
	until child=$(cat /proc/$tool/task/*/children) && [ -n "$child" ]; do kill -0 $tool; sleep 0.1; done
	kill $tool # perhaps before the other has begun
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
