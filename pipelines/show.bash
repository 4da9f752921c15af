# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # variables of `stage`, of which these are parts
#
# What a stage does instead of running.

SHOWN=''              # the folder of what was printed last
declare -A PRINTED=() # =FILE: something printed makes it

# MODE=show: print what would be run, so that it can be pasted.
show_stage() {
	local i parts=${outs[0]} files=()
	if [ -n "$key" ] && ! missing; then
		register
		show_links
		return
	fi
	restore_inputs
	register
	as_run
	begin "${outs[0]}"
	# The outputs are linked to the store, into which nothing must be written; and
	# reap-rewrite replaces no folder.
	for i in "${outs[@]}"; do
		[ ! -e "$i" ] && [ -z "${OVER:-}" ] || print rm -rf "$i"
		PRINTED["=$i"]=1
	done
	if [ -z "$how" ] || [ "$SHARDS" -eq 1 ]; then
		print_into "${outs[0]}" "${words[@]}"
		return
	fi
	[ "${cmd[0]}" != reap-ppl ] || parts=$parts.parts
	print mkdir "$parts"
	for ((i = 1; i <= SHARDS; i++)); do
		files+=("$parts/${i}of$SHARDS")
		print_into "${files[-1]}" "${words[0]}" --shard "$i/$SHARDS" "${words[@]:1}"
	done
	if [ "$parts" != "${outs[0]}" ]; then
		print_into "${outs[0]}" reap-ppl --merge "${files[@]}"
		print rm -r "$parts"
	fi
}

# What the store has is linked to where people look for it, as by show_at.
show_links() {
	local i from
	for i in "${!outs[@]}"; do
		from=$STORE/$key/$i
		[ -e "$from" ] || continue
		[ -n "${PRINTED["=${outs[i]%/*}"]:-}" ] || ! shown "$from" "${outs[i]}" || continue
		begin "${outs[i]}"
		if [ -d "$from" ]; then
			[ ! -e "${outs[i]}" ] || print rm -rf "${outs[i]}"
			print cp -al "$from" "${outs[i]}"
		else
			print ln -f "$from" "${outs[i]}"
		fi
		PRINTED["=${outs[i]}"]=1
	done
}

# begin FILE: what goes before the first line that is printed; the file's folder.
begin() {
	local bin
	if [ -z "$SHOWN" ]; then
		quoted "$BIN"
		bin=$REPLY
		quoted "$SHIPPED"
		put 'export PATH=%s:"$PATH" REAP_RECIPES=%s\n' "$bin" "$REPLY"
	fi
	[ -d "${1%/*}" ] || [ "$SHOWN" = "${1%/*}" ] || print mkdir -p "${1%/*}"
	SHOWN=${1%/*}
}

print() {
	quoted "$@"
	put '%s\n' "$REPLY"
}

# print_into FILE COMMAND...
print_into() {
	local file
	quoted "$1"
	file=$REPLY
	quoted "${@:2}"
	put '%s >%s\n' "$REPLY" "$file"
}

# MODE=plan: say what a forward pass would take: a line of JSON in the file PLAN for each,
# which reap-run adds up.  A pass whose result is there has figures too, for passes that are like
# it.
plan_stage() {
	local path ready=1 there=false figures='{}'
	register
	[ -n "$how" ] || return 0
	[ -z "$key" ] || missing || there=true
	for path in "${ins[@]}"; do
		[ -e "$path" ] || ready=0
	done
	as_run
	[ $ready -eq 0 ] || figures=$("${words[0]}" --dry-run --json "${words[@]:1}")
	quoted "${words[@]}"
	jq -c --arg name "$title" --arg key "$key" --arg like "${like#"$OUT"/}" --arg command "$REPLY" --argjson there $there \
		'{$name, $key, $like, $command, $there} + .' <<<"$figures" >>"$PLAN"
}
