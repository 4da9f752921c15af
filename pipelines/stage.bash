# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that read this
#
# Stages: files that are made by commands.
#
#   stage FILE... from INPUT... run COMMAND...
#
# The first FILE is what COMMAND prints; the others, files or folders, it writes itself,
# where its words name them.  INPUT are the files and models that it reads; options among
# them are passed over, so that its words can stand here, too.  All are absolute, and those
# of other stages are named as these named them; see `identity` for tokenizer:, rows: and
# recipe:.
#
# A stage is known by what it computes: its key is the digest of the command, with what
# each file holds in place of its path, and of the program's version.  So what has been
# computed is found in the store (store.bash), whatever recipe asked for it, and a stage
# whose inputs come out as before is not run.  A key is not known before its inputs are
# made.  A result that was freed is made again when a stage that must run reads it.
#
# MODE says what a stage does:
#   run     make what is not there
#   show    print the commands that would be run
#   plan    say what the forward passes would take; only tokens are made
#   count   count

# shellcheck source=jobs.bash
. "$here/jobs.bash"
# shellcheck source=store.bash
. "$here/store.bash"
# shellcheck source=show.bash
. "$here/show.bash"

STEP=0 STEPS=0 MAKERS=0
declare -A PLACE_OF=() # =FILE: KEY/NUMBER of a stage's file in the store; "" while not known
declare -A HELD_OF=()  # =FILE: what it holds; "" while that is not known
declare -A MAKER_OF=() # =FILE: the number of the stage that makes it

# work FUNCTION: all stages of it, alone in folder D.
work() {
	local mode=$MODE
	if [ "$mode" = run ] || [ "$mode" = plan ]; then
		folder "$D"
		hold "$D/.lock" "$D"
		# Shared: prune-cache takes it alone.
		folder "$STORE"
		open_lock "$STORE/.lock"
		flock -s "$REPLY" || true
		rm -f "$D/.stages.new"
	fi
	MODE=count
	"$1"
	MODE=$mode
	"$1"
	# For prune-cache.
	[ "$mode" != run ] || mv "$D/.stages.new" "$D/.stages"
	[ "$mode" != show ] || [ -n "$SHOWN$QUIET" ] || say "$D: all is there, nothing would be run"
}

# stage FILE... from INPUT... run COMMAND...
#   ACCEPT=STATUS  of the command that is as good as 0
#   AGAIN=WORD     another run of a command that has been run
#   LIKE=FILE      of a forward pass that cannot be asked yet: what it would take
#   LIST=NAME.KEY  the recipe's list that is wrong if COMMAND fails
#   OVER=1         what another run has printed may have made these files
stage() {
	local accept=${ACCEPT:-0} again=${AGAIN:-} like=${LIKE:-} how=${HOW:-} restore=${RESTORE:-} list=${LIST:-}
	local all=("$@") outs=() ins=() cmd=() words=() held=() named=() key='' known=1 word path title=${1#"$OUT"/}
	local -A stands=() # what stands for each path in the key
	if [ "$MODE" = count ]; then
		STEPS=$((STEPS + 1))
		return
	fi
	while [ "$1" != from ]; do
		stands["=$1"]="<output ${#outs[@]}>"
		outs+=("$1")
		shift
	done
	shift
	while [ "$1" != run ]; do
		if [[ $1 != --* ]]; then
			ins+=("$1")
			stand "$1"
			[ -n "$REPLY" ] || known=0
			held+=("<$REPLY>")
			stands["=/${1#*/}"]=${held[-1]}
		fi
		shift
	done
	shift
	cmd=("$@")

	if [ $known -eq 1 ]; then
		for word in "${cmd[@]}"; do
			path=${word#*=}
			if [ -n "${stands["=$word"]:-}" ]; then
				words+=("${stands["=$word"]}")
			elif [[ $path == /* ]] && [ -n "${stands["=$path"]:-}" ]; then
				words+=("${word%%=*}=${stands["=$path"]}")
			else
				words+=("$word")
			fi
		done
		named=("${words[@]:1}")
		key_of "${named[@]}"
		key=$REPLY
	fi

	if [ -z "$restore" ]; then
		STEP=$((STEP + 1)) MAKERS=$((MAKERS + 1))
		local -n maker=MAKER_$MAKERS
		maker=("$how" "$accept" "$again" "${all[@]}")
		for path in "${outs[@]}"; do
			MAKER_OF["=$path"]=$MAKERS
		done
	fi
	case $MODE:$known:${cmd[0]} in
	run:* | plan:1:reap-tokenize) make_stage ;;
	plan:*) plan_stage ;;
	show:*) show_stage ;;
	esac
}

# key_of WORD...: the key of a stage whose command has these words behind its name.
key_of() {
	version "${cmd[0]}"
	REPLY=$(printf '%s\0' "${cmd[0]##*/}" "$@" "${held[@]}" "$REPLY" "$again" | sha256sum)
	REPLY=${REPLY%% *}
}

# A stage that runs the model: in shards, by the launcher, resumed.
forward() {
	HOW=forward stage "$@"
}

# stand PATH: what stands for an input in a key: what it holds.  The result of a forward pass is
# large and perhaps in shards, so the key of the pass stands for it.  A pass itself reads only what
# the first digest of tokens and of a model is of: data, weights (see identity).
stand() {
	if [ -z "${MAKER_OF["=$1"]:-}" ]; then
		digest "$1"
		[ -n "$REPLY" ] || [ "$MODE" != run ] || fail "/${1#*/}: no such file"
	else
		local -n by=MAKER_${MAKER_OF["=$1"]}
		[ -n "${by[0]}" ] && REPLY=${PLACE_OF["=$1"]} || REPLY=${HELD_OF["=$1"]}
	fi
	[ -z "$how" ] || REPLY=${REPLY%%-*}
}

# ---- parts of `stage`, with its variables ----

# Where each output is, and what it holds.
register() {
	local i
	[ -z "$key" ] || record "$key" || true
	for i in "${!outs[@]}"; do
		PLACE_OF["=${outs[i]}"]=${key:+$key/$i}
		HELD_OF["=${outs[i]}"]=${key:+${HELD[i]:-}}
	done
}

# The command as it is run: what changes nothing in the result is no part of the key.
as_run() {
	words=("${cmd[0]}")
	[ -z "$how" ] || words+=(${THREADS:+--threads "$THREADS"} ${MEMORY:+--memory "$MEMORY"})
	[ -z "$how" ] || [[ $DEVICE == *% ]] || words+=(${DEVICE:+--device "$DEVICE"})
	words+=("${cmd[@]:1}")
}

# Does the stage have to be run?  If its results were freed, only when they are needed.
missing() {
	state "$key"
	[ "$REPLY" = no ] || { [ "$REPLY" = freed ] && [ -n "$restore" ]; }
}

# Make again the inputs that were freed.
restore_inputs() {
	local path
	for path in "${ins[@]}"; do
		[ -n "${MAKER_OF["=$path"]:-}" ] && [ -z "${PRINTED["=$path"]:-}" ] || continue
		state "${PLACE_OF["=$path"]%/*}"
		[ "$REPLY" = freed ] || continue
		local -n made=MAKER_${MAKER_OF["=$path"]}
		HOW=${made[0]} ACCEPT=${made[1]} AGAIN=${made[2]} RESTORE=1 stage "${made[@]:3}"
	done
}

make_stage() {
	local lock i
	if missing; then
		restore_inputs
		folder "$STORE/$key"
		hold "$STORE/$key/lock" "$title"
		lock=$REPLY
		# Another run may have made it meanwhile.
		if missing; then
			produce
		else
			taken_over
		fi
		exec {lock}>&-
	elif [ -z "$restore" ]; then
		taken_over
	fi
	register
	folder "${outs[0]%/*}"
	put '%s\t%s\n' "$key" "$title" >>"$D/.stages.new"
	for i in "${!outs[@]}"; do
		[ ! -e "$STORE/$key/$i" ] || show_at "$STORE/$key/$i" "${outs[i]}"
	done
}

taken_over() {
	[ -z "$QUIET" ] || return 0
	record "$key"
	if [ "$FOR" = "$title" ]; then
		say "stage $STEP of $STEPS: $title is there"
	else
		say "stage $STEP of $STEPS: $title is shared with $FOR"
	fi
}

# Run the command, and keep what it made if all that it read stayed what it was.
produce() {
	local store=$STORE/$key status=0 i w
	remove "$store/record"
	as_run
	if [ -n "$restore" ]; then
		say "again, because it was freed: $title: ${cmd[0]##*/}"
	else
		say "stage $STEP of $STEPS: $title: ${cmd[0]##*/}"
	fi
	[ -n "$QUIET" ] || { quoted "${words[@]}" && printf '  %s\n' "$REPLY" >&2; }
	if [ -n "$how" ]; then
		produce_parts || status=$?
	else
		for i in "${!outs[@]}"; do
			remove "$store/$i.part"
			for w in "${!words[@]}"; do
				[ "${words[w]}" != "${outs[i]}" ] || words[w]=$store/$i.part
			done
		done
		attend "${words[@]}" >"$store/0.part" || status=$?
	fi
	[ $status -le 128 ] || fail "$title: signal $((status - 128)) ended ${cmd[0]##*/}: the same command goes on from here"
	[ $status -eq 0 ] || [ $status -eq "$accept" ] ||
		fail "${list:+${AT["=$list.count"]}: ${list#*.}: }$title: ${cmd[0]##*/} ended with status $status"
	for i in "${ins[@]}"; do
		unchanged "$i" || fail "$title: thrown away, because /${i#*/} changed meanwhile"
	done
	# A cost probe leaves no folder.
	for i in "${!outs[@]}"; do
		[ ! -e "$store/$i.part" ] || { remove "$store/$i" && mv -T -- "$store/$i.part" "$store/$i"; }
	done
	write_record
}

# unchanged PATH: does an input still hold what stands for it in the key?
unchanged() {
	local made=${PLACE_OF["=$1"]:-}
	if [ -n "$made" ]; then
		same "$STORE/$made" "${HELD_OF["=$1"]}" && shown "$STORE/$made" "$1"
	else
		same "$1" "${DIGEST_OF["=$1"]:-}"
	fi
}

# other_look: in REPLY, the eval in the store that is the same at another look, the one with the
# most blocks; nothing if there is none.
other_look() {
	local look other words=("${named[@]}")
	if [ "${cmd[0]}" = reap-ppl ]; then
		[ "${words[0]}" != --look ] || words=("${words[@]:2}")
		for look in '' 3 2 1; do
			key_of ${look:+--look "$look"} "${words[@]}"
			other=$REPLY
			state "$other"
			[ "$REPLY" != yes ] || { REPLY=$STORE/$other/0 && return; }
		done
	fi
	REPLY=''
}

# A forward pass is one file, or a folder with that of each shard; evals are joined.
produce_parts() {
	local parts=$store/parts
	mkdir -p "$parts"
	other_look
	attend "$here/launch" "$parts" "${words[0]}" ${REPLY:+--resume "$REPLY"} "${words[@]:1}" || return $?
	rm -rf "$store/0.part"
	if [ "$SHARDS" -eq 1 ]; then
		mv "$parts/1of1" "$store/0.part"
	elif [ "${cmd[0]}" = reap-ppl ]; then
		attend reap-ppl --merge "$parts"/*"of$SHARDS" >"$store/0.part" || return $?
	else
		mkdir "$store/0.part"
		mv "$parts"/*"of$SHARDS" "$store/0.part"
	fi
	rm -rf "$parts"
}

write_record() {
	local path i
	{
		put 'for\t%s\nmade\t%(%F %T)T on %s\n' "$title" -1 "$HOSTNAME"
		as_run
		quoted "${words[@]}"
		put 'command\t%s\n' "$REPLY"
		for path in "${ins[@]}"; do
			put 'input\t%s\t%s\n' "${stands["=/${path#*/}"]}" "$path"
		done
		for i in "${!outs[@]}"; do
			[ -e "$store/$i" ] || continue
			identity "$store/$i" || exit 1
			put 'result\t%s\t%s\n' "$i" "$REPLY"
		done
	} >"$store/record.part"
	mv "$store/record.part" "$store/record"
}

# free FILE...: free what only stages before this one read, unless it is seen elsewhere, too.
free() {
	local path f
	[ "$MODE" = run ] || return 0
	for path; do
		f=$STORE/${PLACE_OF["=$path"]}
		[ ! -d "$f" ] || f=$f/config.json
		[ ! -e "$f" ] || [ "$(stat -c %h "$f")" -gt 2 ] || rm -rf "${STORE:?}/${PLACE_OF["=$path"]}"
		rm -rf "$path"
	done
}
