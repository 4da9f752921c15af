# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that read this
#
# What things hold, and results by what they were made from.  $OUT/.cache/KEY has
#
#   record    what made them, and what each holds; written last
#   0 1 ...   the results: files and folders
#   *.part    what an interrupted run left; parts/ of a forward pass
#
# and they are linked to where people look for them.

STORE=$OUT/.cache
declare -A IDENTITY_OF=() # what a file holds, by place on the disk, size and time
declare -A DIGEST_OF=()	  # =PATH: what a file that no stage makes held when it was first read
declare -A VERSION_OF=()  # =PROGRAM

# identity PATH: what it holds, in REPLY.  PATH is a file, a model, a folder of other files
# (folders within it are passed over, as by reap-tokenize), tokenizer:FOLDER (only its
# tokenizer) or recipe:FILE (with all that it extends).
identity() {
	local path=/${1#*/} f files=() look=''
	case $1 in
	recipe:*)
		REPLY=$(reap-recipe --id -- "$path") || return
		REPLY=${REPLY##*:}
		;;
	tokenizer:*)
		REPLY=$(cd -- "$path" && for f in {tokenizer,tokenizer_config,special_tokens_map}.json chat_template.jinja; do
			[ ! -e $f ] || sha256sum $f
		done | sha256sum) || return
		;;
	*)
		if [ -d "$path" ] && [ ! -e "$path/config.json" ]; then
			for f in "$path"/*; do
				[ ! -f "$f" ] || files+=("${f##*/}")
			done
			REPLY=$(cd -- "$path" && { [ ${#files[@]} -eq 0 ] || reap-show --id -- "${files[@]}"; } | sha256sum) || return
		else
			[ ! -f "$path" ] || look=$(stat -L -c '%d %i %s %z' -- "$path")
			REPLY=${look:+${IDENTITY_OF[$look]:-}}
			[ -n "$REPLY" ] || REPLY=$(reap-show --id -- "$path") || return
		fi
		;;
	esac
	REPLY=${REPLY%% *}
	[ -z "$look" ] || IDENTITY_OF[$look]=$REPLY
}

# digest PATH: its identity when it was first asked for; nothing if it is not there.
digest() {
	REPLY=${DIGEST_OF["=$1"]:-}
	[ -z "$REPLY" ] && [ -e "/${1#*/}" ] || return 0
	identity "$1" || exit 1
	DIGEST_OF["=$1"]=$REPLY
}

# same PATH IDENTITY: it still holds that.
same() {
	identity "$1" 2>/dev/null && [ "$REPLY" = "$2" ]
}

# version PROGRAM, in REPLY.  Of a tool: the first line of its version and the matrix-product
# backend; compiler and libraries change nothing.  Of a script here: its text, or that of its
# folder, and the version of the tools.
version() {
	REPLY=${VERSION_OF["=$1"]:-}
	[ -z "$REPLY" ] || return 0
	case $1 in
	reap-*) REPLY=$("$1" --version | sed -n '1p;/^gemm:/p') || fail "$1 does not run" ;;
	"$here"/*)
		[ "${1%/*}" = "$here" ] && identity "$1" || identity "${1%/*}"
		REPLY+=$(reap-show --version | sed -n 1p)
		;;
	*) REPLY=$1 ;;
	esac
	VERSION_OF["=$1"]=$REPLY
}

# record KEY: what the store has of it, as FOR (the file that it was made for) and HELD (of
# each result what it holds); not 0 when there is none.
record() {
	local kind a b
	FOR='' HELD=()
	[ -e "$STORE/$1/record" ] || return 1
	while IFS=$'\t' read -r kind a b; do
		case $kind in
		for) FOR=$a ;;
		result) HELD[a]=$b ;;
		esac
	done <"$STORE/$1/record"
}

# state KEY: in REPLY, whether its results are there: yes, no, or freed.
state() {
	local i is=yes
	REPLY=no
	record "$1" || return 0
	for i in "${!HELD[@]}"; do
		if [ ! -e "$STORE/$1/$i" ]; then
			is=freed
		elif ! same "$STORE/$1/$i" "${HELD[i]}"; then
			is=no
			break
		fi
	done
	REPLY=$is
}

# show_at FROM TO: show a result where people look for it.
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
