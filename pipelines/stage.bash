# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that read this
#
# Stages: files that are made by commands.
#
#   stage FILE... from INPUT... run COMMAND...
#
# The first FILE is what COMMAND prints; the others (one may be a folder) it writes
# itself, where its words name them.  INPUT are the files and models that it reads.  All
# are absolute, and those of other stages are named as these named them.
# tokenizer:FOLDER are the files of the tokenizer in FOLDER.
#
# A stage is known by what it computes: its key is the digest of the command, with what
# each file holds in place of its path, and of the program's version.  The results of a
# key lie once, in $OUT/.cache/KEY, and are linked to every FILE that asks for them:
#
#   record    what made them, and the digest of each file; written last
#   0 1 ...   the files, in the order of FILE...; 0.2of3 is a shard
#   *.part    what an interrupted run left
#
# A result that was freed is made again when a stage that must run reads it.
#
# MODE says what a stage does:
#   run     make what is not there
#   show    print the commands that would be run
#   plan    say what the forward passes would take; only tokens are made
#   count   count

STORE=$OUT/.cache
STEP=0 STEPS=0 MAKERS=0 CHILD='' SHOWN=''
declare -A HOLDS=()	 # =FILE: what a stage's file holds; nothing while that is not known
declare -A KEY_OF=()	 # =FILE: the key of the stage that makes it
declare -A NAMES_OF=()	 # =FILE: its files in the store, one a line
declare -A MAKER_OF=()	 # =FILE: the number of the stage that makes it
declare -A DIGEST_OF=()	 # =PATH: what a file or model that no stage makes holds
declare -A LOOK_OF=()	 # =PATH: its size and time then
declare -A VERSION_OF=() # =PROGRAM

say() {
	printf 'reap: %s\n' "$*" >&2
}

fail() {
	say "$@"
	exit 1
}

# quoted WORD...: as one would type them.
quoted() {
	local word out=''
	for word; do
		[[ $word =~ ^[A-Za-z0-9_./:=,+@%-]+$ ]] || printf -v word '%q' "$word"
		out+="$word "
	done
	REPLY=${out% }
}

# ---- processes ----

# attend COMMAND...: run it in a process group of its own, which ends when this script
# is told to end.
attend() {
	local status=0
	set -m
	"$@" </dev/null &
	CHILD=$!
	set +m
	wait "$CHILD" || status=$?
	CHILD=''
	return $status
}

stop() {
	trap '' INT TERM HUP
	if [ -n "$CHILD" ]; then
		# GNU parallel lets its jobs finish when it is asked only once.
		kill -TERM -- "-$CHILD" 2>/dev/null || true
		sleep 0.2
		kill -TERM -- "-$CHILD" 2>/dev/null || true
		wait "$CHILD" 2>/dev/null || true
	fi
	say "stopped: the same command goes on from here"
	exit $((128 + $1))
}
# Nothing ends without a word.
set -E
trap '[ "$BASH_SUBSHELL" -gt 0 ] || say "${BASH_SOURCE[0]##*/}: line $LINENO: ${BASH_COMMAND%%$'"'\\n'"'*}: status $?"' ERR
trap 'stop 1' HUP
trap 'stop 2' INT
trap 'stop 15' TERM

# hold FILE WHAT: until the descriptor in REPLY is closed, here and in all that was
# started meanwhile, nobody else holds FILE.
hold() {
	local fd status=0
	mkdir -p "${1%/*}"
	exec {fd}>>"$1"
	flock -n "$fd" || status=$?
	if [ "$status" -eq 1 ]; then
		say "$2 is in use by $(<"$1"): waiting"
		attend flock "$fd"
	elif [ "$status" -ne 0 ]; then
		say "$2: this file system has no locks: two runs at a time would disturb each other"
	fi
	printf '%s\n' "process $$ on $HOSTNAME since $(date '+%F %T')" >"$1"
	REPLY=$fd
}

# work FUNCTION: all stages of it, alone in folder D.
work() {
	local mode=$MODE
	if [ "$mode" = run ] || [ "$mode" = plan ]; then
		hold "$D/.lock" "$D"
		# Shared: prune-cache takes it alone.
		mkdir -p "$STORE"
		exec {used}>>"$STORE/.lock"
		flock -s "$used" || true
		rm -f "$D/.stages.new"
	fi
	MODE=count
	"$1"
	MODE=$mode
	"$1"
	# For prune-cache.
	[ "$mode" != run ] || mv "$D/.stages.new" "$D/.stages"
}

# ---- what things hold ----

# look PATH: size and time of a file, or of those of a tokenizer.
look() {
	local f=("$1")
	[[ $1 != tokenizer:* ]] || f=("${1#tokenizer:}"/{tokenizer,tokenizer_config,special_tokens_map}.json "${1#tokenizer:}/chat_template.jinja")
	stat -L -c '%s %y' -- "${f[@]}" 2>/dev/null || true
}

# digest PATH: of a file, a model, or a tokenizer; nothing in REPLY when it is not there.
digest() {
	local path=${1#tokenizer:} f sum
	REPLY=${DIGEST_OF["=$1"]:-}
	[ -z "$REPLY" ] && [ -e "$path" ] || return 0
	LOOK_OF["=$1"]=$(look "$1")
	if [ "$path" != "$1" ]; then
		sum=$(for f in tokenizer.json tokenizer_config.json special_tokens_map.json chat_template.jinja; do
			[ ! -e "$path/$f" ] || { echo "$f" && sha256sum <"$path/$f"; }
		done | sha256sum)
	elif [ -d "$path" ]; then
		sum=$(reap-show --id "$path")
	else
		sum=$(sha256sum <"$path")
	fi
	REPLY=${sum%% *}
	DIGEST_OF["=$1"]=$REPLY
}

# same PATH: it holds what it held when it was first looked at.
same() {
	local key=${KEY_OF["=$1"]:-} before name sum
	if [ -d "$1" ]; then
		sum=$(reap-show --id "$1") && [ "${sum%% *}" = "${HOLDS["=$1"]:-${DIGEST_OF["=$1"]:-}}" ]
	elif [ -n "$key" ]; then
		while IFS= read -r name; do
			seen "$1" "$name"
			[ "$REPLY" -ef "$STORE/$key/$name" ] || return 1
		done <<<"${NAMES_OF["=$1"]}"
		state "$key"
		[ "$REPLY" = yes ]
	elif [ "$(look "$1")" != "${LOOK_OF["=$1"]}" ]; then
		before=${DIGEST_OF["=$1"]}
		DIGEST_OF["=$1"]=''
		digest "$1"
		[ "$REPLY" = "$before" ]
	fi
}

# version PROGRAM: its first line and the matrix-product backend; compiler and libraries
# change nothing.  A script of this folder is the text of all.
version() {
	REPLY=${VERSION_OF["=$1"]:-}
	[ -z "$REPLY" ] || return 0
	case $1 in
	reap-*) REPLY=$("$1" --version | sed -n '1p;/^gemm:/p') || fail "$1 does not run" ;;
	/*) REPLY=$(cat "$here"/* | sha256sum) ;;
	*) REPLY=$1 ;;
	esac
	VERSION_OF["=$1"]=$REPLY
}

# ---- the store ----

# record KEY: what the store has of it, as FOR (the file that it was made for) and
# FILE_N, FILE_NAME, FILE_DIGEST and FILE_SUM of each of its files; not 0 when there is none.
record() {
	local kind a b c d
	FOR='' FILE_N=() FILE_NAME=() FILE_DIGEST=() FILE_SUM=()
	[ -e "$STORE/$1/record" ] || return 1
	while IFS=$'\t' read -r kind a b c d; do
		case $kind in
		for) FOR=$a ;;
		file) FILE_N+=("$a") FILE_NAME+=("$b") FILE_DIGEST+=("$c") FILE_SUM+=("$d") ;;
		esac
	done <"$STORE/$1/record"
}

# state KEY: in REPLY, whether its results are there: yes, no, or freed.
state() {
	local i path ids paths=() sums=()
	REPLY=no
	record "$1" || return 0
	REPLY=yes
	for i in "${!FILE_N[@]}"; do
		path=$STORE/$1/${FILE_NAME[i]}
		if [ ! -e "$path" ]; then
			REPLY=freed
		elif [ "${FILE_SUM[i]}" != - ]; then
			paths+=("$path") sums+=("${FILE_SUM[i]}")
		elif [ "${FILE_DIGEST[i]}" != - ] && [ "${FILE_DIGEST[i]}" != "$(plain_digest "$path")" ]; then
			REPLY=no
		fi
	done
	[ ${#paths[@]} -gt 0 ] || return 0
	# Each is still what its end record says; a model, what its weights say.
	ids=$(reap-show --id "${paths[@]}" 2>/dev/null | cut -d ' ' -f 1) || true
	[ "$ids" = "$(printf '%s\n' "${sums[@]}")" ] || REPLY=no
}

# plain_digest FILE: of one that is no stream and so does not hold its own.
plain_digest() {
	sha256sum <"$1" | cut -c 1-64
}

# identity PATH: the digest of a plain file, or its own of a stream or a model, for the record.
identity() {
	local id
	if id=$(reap-show --id "$1" 2>/dev/null); then
		printf -- '-\t%s' "${id%% *}"
	elif [ -d "$1" ]; then
		printf -- '-\t-'
	else
		printf '%s\t-' "$(plain_digest "$1")"
	fi
}

# seen FILE NAME: where people see a file of the store: as FILE, or a shard as FILE with
# its number before the suffix.
seen() {
	local base=${1##*/}
	REPLY=$1
	[[ $2 != *.* ]] || REPLY=${1%/*}/${base%.*}.${2#*.}.${base##*.}
}

# show_at FROM TO: a file or folder of the store, where people look for it.
show_at() {
	local f there=1
	if [ -d "$1" ]; then
		# Other files may lie beside those of the store.
		for f in "$1"/*; do
			[ "$f" -ef "$2/${f##*/}" ] || there=0
		done
		[ $there -eq 0 ] || return 0
		rm -rf "$2.new" "$2.old"
		cp -al -- "$1" "$2.new" 2>/dev/null || { rm -rf "$2.new" && cp -as -- "$1" "$2.new"; }
		[ ! -e "$2" ] || mv -T -- "$2" "$2.old"
		mv -T -- "$2.new" "$2"
		rm -rf "$2.old"
	elif ! [ "$1" -ef "$2" ]; then
		rm -rf "$2"
		ln -- "$1" "$2" 2>/dev/null || ln -s -- "$1" "$2"
	fi
}

# ---- a stage ----

# stage FILE... from INPUT... run COMMAND...
#   ACCEPT=STATUS  of the command that is as good as 0
#   AGAIN=WORD     another run of a command that has been run
#   LIKE=FILE      of a forward pass that cannot be asked yet: what it would take
stage() {
	local outs=() ins=() cmd=() run=() key='' known=1 accept=${ACCEPT:-0} again=${AGAIN:-} like=${LIKE:-}
	local how=${HOW:-} restore=${RESTORE:-} all=("$@") path word i
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
		ins+=("$1")
		if [ -n "${MAKER_OF["=$1"]:-}" ]; then
			REPLY=${HOLDS["=$1"]}
		else
			digest "$1"
			[ -n "$REPLY" ] || [ "$MODE" != run ] || fail "${1#tokenizer:}: no such file"
		fi
		[ -n "$REPLY" ] || known=0
		stands["=${1#tokenizer:}"]="<$REPLY>"
		shift
	done
	shift
	cmd=("$@")

	if [ $known -eq 1 ]; then
		for word in "${cmd[@]}"; do
			path=${word#*=}
			if [ -n "${stands["=$word"]:-}" ]; then
				run+=("${stands["=$word"]}")
			elif [[ $path == /* ]] && [ -n "${stands["=$path"]:-}" ]; then
				run+=("${word%%=*}=${stands["=$path"]}")
			else
				run+=("$word")
			fi
		done
		run[0]=${cmd[0]##*/}
		version "${cmd[0]}"
		key=$(printf '%s\0' "${run[@]}" "$REPLY" "$again" | sha256sum)
		key=${key%% *}
	fi

	if [ -z "$restore" ]; then
		STEP=$((STEP + 1)) MAKERS=$((MAKERS + 1))
		local -n maker=MAKER_$MAKERS
		maker=("$how" "$accept" "$again" "${all[@]}")
		for path in "${outs[@]}"; do
			MAKER_OF["=$path"]=$MAKERS KEY_OF["=$path"]=$key
		done
	fi
	case $MODE:$known:${cmd[0]} in
	run:* | plan:1:reap-tokenize) make_stage ;;
	plan:*) plan_stage ;;
	show:*) show_stage ;;
	esac
}

# A stage that runs the model: in shards, by the launcher, resumed.
forward() {
	HOW=forward stage "$@"
}

# The functions below are parts of `stage` and use its variables.

# What each output holds.
register() {
	local i names shard
	record "$key" || true
	# A pass that would be run has the shards that are asked for now, not those that it had.
	[ "$MODE:$how" != show:forward ] || ! missing || FILE_N=()
	for i in "${!outs[@]}"; do
		HOLDS["=${outs[i]}"]=${key:+$key $i} NAMES_OF["=${outs[i]}"]=''
		# A model is its weights, whatever made it.
		[ "${outs[i]##*/}" != model ] || HOLDS["=${outs[i]}"]=''
	done
	for i in "${!FILE_N[@]}"; do
		path=${outs[FILE_N[i]]}
		[ "${path##*/}" != model ] || HOLDS["=$path"]=${FILE_SUM[i]}
		names=${NAMES_OF["=$path"]}
		NAMES_OF["=$path"]=$names${names:+$'\n'}${FILE_NAME[i]}
	done
	if [ ${#FILE_N[@]} -eq 0 ] && [ -n "$how" ] && [ "${cmd[0]}" = reap-route ] && [ "$SHARDS" -gt 1 ]; then
		for ((shard = 1; shard <= SHARDS; shard++)); do
			names=${NAMES_OF["=${outs[0]}"]}
			NAMES_OF["=${outs[0]}"]=$names${names:+$'\n'}0.${shard}of$SHARDS
		done
	fi
}

# The command as it is run: an input of many files as all of them.
expand() {
	local word name
	run=()
	for word in "${cmd[@]}"; do
		if [[ ${NAMES_OF["=$word"]:-} == *.* ]]; then
			while IFS= read -r name; do
				seen "$word" "$name"
				run+=("$REPLY")
			done <<<"${NAMES_OF["=$word"]}"
		else
			run+=("$word")
		fi
	done
	[ -n "$how" ] || return 0
	# What changes nothing in the result is no part of the key.
	run=("${run[0]}" ${THREADS:+--threads "$THREADS"} ${MEMORY:+--memory "$MEMORY"} "${run[@]:1}")
}

# Does it have to be run?  Of what was freed, only when it is needed.
missing() {
	state "$key"
	[ "$REPLY" = no ] || { [ "$REPLY" = freed ] && [ -n "$restore" ]; }
}

# Make again what inputs were freed.
restore_inputs() {
	local path name
	for path in "${ins[@]}"; do
		[ -n "${MAKER_OF["=$path"]:-}" ] || continue
		state "${KEY_OF["=$path"]}"
		[ "$REPLY" = freed ] || continue
		local -n made=MAKER_${MAKER_OF["=$path"]}
		HOW=${made[0]} ACCEPT=${made[1]} AGAIN=${made[2]} RESTORE=1 stage "${made[@]:3}"
	done
}

make_stage() {
	local lock i name title=${outs[0]#"$OUT"/}
	if missing; then
		restore_inputs
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
	mkdir -p "${outs[0]%/*}"
	printf '%s\t%s\n' "$key" "$title" >>"$D/.stages.new"
	for i in "${!FILE_N[@]}"; do
		[ -e "$STORE/$key/${FILE_NAME[i]}" ] || continue
		seen "${outs[FILE_N[i]]}" "${FILE_NAME[i]}"
		show_at "$STORE/$key/${FILE_NAME[i]}" "$REPLY"
	done
}

taken_over() {
	[ -z "$QUIET" ] || return 0
	record "$key"
	if [ "$FOR" = "$title" ]; then
		say "stage $STEP of $STEPS: $title is there"
	else
		say "stage $STEP of $STEPS: $title is that of $FOR"
	fi
}

print_command() {
	[ -n "$QUIET" ] || { quoted "$@" && printf '  %s\n' "$REPLY" >&2; }
}

# Run the command, and keep what it made if all that it read stayed what it was.
produce() {
	local store=$STORE/$key status=0 path i word
	rm -f "$store/record"
	expand
	if [ -n "$restore" ]; then
		say "again, because it was freed: $title: ${cmd[0]##*/}"
	else
		say "stage $STEP of $STEPS: $title: ${cmd[0]##*/}"
	fi
	print_command "${run[@]}"
	if [ -n "$how" ]; then
		produce_shards || status=$?
	else
		for i in "${!outs[@]}"; do
			rm -rf "${store:?}/$i.part"
			for word in "${!run[@]}"; do
				[ "${run[word]}" != "${outs[i]}" ] || run[word]=$store/$i.part
			done
		done
		attend "${run[@]}" >"$store/0.part" || status=$?
	fi
	[ $status -eq 0 ] || [ $status -eq "$accept" ] || fail "$title: ${cmd[0]##*/} ended with status $status"
	for path in "${ins[@]}"; do
		same "$path" || fail "$title: thrown away, because ${path#tokenizer:} changed meanwhile"
	done
	for i in "${!outs[@]}"; do
		[ ! -e "$store/$i.part" ] || { rm -rf "${store:?}/$i" && mv -T -- "$store/$i.part" "$store/$i"; }
	done
	write_record
}

# A forward pass is one file, or one of each shard; evals are joined.
produce_shards() {
	local f shards=()
	attend "$here/launch" "$store/0" "${run[@]}" || return $?
	if [ "$SHARDS" -eq 1 ]; then
		rm -f "$store"/0.*
	elif [ "${cmd[0]}" = reap-ppl ]; then
		attend reap-ppl --merge "$store"/0.*"of$SHARDS" >"$store/0.part" || return $?
		rm -f "$store"/0.*of*
	else
		# What an interrupted run with other shards left.
		for f in "$store"/0 "$store"/0.*; do
			[[ $f =~ /0\.[0-9]+of$SHARDS$ ]] || rm -f "$f"
		done
	fi
}

write_record() {
	local path
	{
		printf 'for\t%s\nmade\t%s on %s\n' "$title" "$(date '+%F %T')" "$HOSTNAME"
		quoted "${run[@]}"
		printf 'command\t%s\n' "$REPLY"
		for path in "${ins[@]}"; do
			printf 'input\t%s\t%s\n' "${stands["=${path#tokenizer:}"]}" "$path"
		done
		for path in "$store"/*; do
			[[ ! ${path##*/} =~ ^([0-9]+)(\.[0-9]+of[0-9]+)?$ ]] ||
				printf 'file\t%s\t%s\t%s\n' "${BASH_REMATCH[1]}" "${path##*/}" "$(identity "$path")"
		done
	} >"$store/record.part"
	mv "$store/record.part" "$store/record"
}

# ---- the other modes ----

# Print what would be run, so that it can be pasted.
show_stage() {
	local shard base=${outs[0]##*/}
	if [ -n "$key" ] && ! missing; then
		register
		return
	fi
	restore_inputs
	register
	expand
	if [ ! -d "${outs[0]%/*}" ] && [ "$SHOWN" != "${outs[0]%/*}" ]; then
		SHOWN=${outs[0]%/*}
		quoted mkdir -p "$SHOWN"
		printf '%s\n' "$REPLY"
	fi
	print_removal "${outs[@]:1}"
	if [ -n "$how" ] && [ "$SHARDS" -gt 1 ]; then
		for ((shard = 1; shard <= SHARDS; shard++)); do
			print_into "${outs[0]%/*}/${base%.*}.${shard}of$SHARDS.${base##*.}" "${run[0]}" --shard "$shard/$SHARDS" "${run[@]:1}"
		done
		[ "${cmd[0]}" != reap-ppl ] || print_into "${outs[0]}" reap-ppl --merge "${outs[0]%/*}/${base%.*}."*"of$SHARDS.${base##*.}"
	else
		print_into "${outs[0]}" "${run[@]}"
	fi
}

# print_removal FILE...: of those that are there.  They are linked to the store, into which
# nothing is to be written, and reap-rewrite replaces no folder.
print_removal() {
	local path
	for path; do
		[ -e "$path" ] || continue
		quoted rm -rf "$path"
		printf '%s\n' "$REPLY"
	done
}

# print_into FILE COMMAND...
print_into() {
	local file
	print_removal "$1"
	quoted "$1"
	file=$REPLY
	shift
	quoted "$@"
	printf '%s >%s\n' "$REPLY" "$file"
}

# Say what a forward pass would take: a line of JSON in the file PLAN for each, which
# reap-run adds up.
plan_stage() {
	local title=${outs[0]#"$OUT"/} path ready=1 figures
	register
	[ -n "$how" ] || return 0
	if [ -n "$key" ] && ! missing; then
		jq -cn --arg name "$title" '{$name, there: true}' >>"$PLAN"
		return
	fi
	for path in "${ins[@]}"; do
		[ -e "$path" ] || ready=0
	done
	if [ $ready -eq 0 ]; then
		jq -cn --arg name "$title" --arg like "${like#"$OUT"/}" '{$name, $like}' >>"$PLAN"
		return
	fi
	expand
	figures=$("${run[0]}" --dry-run --json "${run[@]:1}")
	quoted "${run[@]}"
	jq -c --arg name "$title" --arg command "$REPLY" '{$name, $command} + .' <<<"$figures" >>"$PLAN"
}

# free FILE...: what only stages before this one read, unless it is seen elsewhere, too.
free() {
	local path name store f
	[ "$MODE" = run ] || return 0
	for path; do
		store=$STORE/${KEY_OF["=$path"]}
		while IFS= read -r name; do
			f=$store/$name
			[ ! -d "$f" ] || f=$f/config.json
			[ ! -e "$f" ] || [ "$(stat -c %h "$f")" -gt 2 ] || rm -rf "${store:?}/$name"
			seen "$path" "$name"
			rm -rf "$REPLY"
		done <<<"${NAMES_OF["=$path"]}"
	done
}
