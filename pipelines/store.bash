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
# tokenizer), rows:PATH (no model, whatever lies there) or recipe:FILE (with all that it
# extends).  A model has two digests, joined by a
# dash as those of tokens are: that of reap-show, and one of the other files that a rewrite copies.
identity() {
	local path=/${1#*/} f files=() look='' model=''
	case $1 in
	recipe:*)
		REPLY=$(reap-recipe --id -- "$path") || return
		REPLY=${REPLY##*:}
		;;
	tokenizer:*)
		REPLY=$(cd -- "$path" && for f in {tokenizer,tokenizer_config}.json \
			{chat_template,additional_chat_templates/tool_use}.jinja; do
			[ ! -e $f ] || sha256sum $f
		done | sha256sum) || return
		;;
	*)
		if [ -d "$path" ]; then
			if [[ $1 != rows:* ]] && [ -e "$path/config.json" ]; then
				model=$(reap-show --id -- "$path") || return
				model=${model%% *}-
			fi
			for f in "$path"/* "$path"/additional_chat_templates/*; do
				case $f in
				# Of a model: weights, and what later stages lay beside them.
				*.safetensors | *.bin | *.pt | *.pth | *.gguf | *.h5 | *.msgpack | *.onnx | *.ckpt) ;;
				"$path/README.md" | "$path/verdict.md" | "$path/SHA256SUMS") ;;
				*) [ ! -f "$f" ] || files+=("${f#"$path"/}") ;;
				esac
			done
			REPLY=$model$(cd -- "$path" && { [ ${#files[@]} -eq 0 ] || printf '%s\0' "${files[@]}" | xargs -0 reap-show --id --; } | sha256sum) || return
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

# remove PATH: nothing is there afterwards.  A run begins few programs that have nothing to do.
remove() {
	[ ! -e "$1" ] && [ ! -L "$1" ] || rm -rf -- "${1:?}"
}

# within FOLDER: the names of all files in it and in its folders, as WITHIN.
within() {
	mapfile -d '' WITHIN < <(find "$1" ! -type d -printf '%P\0')
}

# shown FROM TO: is a result where people look for it?
shown() {
	local f
	[ -d "$1" ] || {
		[ "$1" -ef "$2" ]
		return
	}
	within "$1"
	for f in "${WITHIN[@]}"; do
		[ "$1/$f" -ef "$2/$f" ] || return 1
	done
}

# show_at FROM TO: show a result where people look for it.  Files of other people may lie in its
# folder: only what is in the store, or links to nothing, are taken away.
show_at() {
	local f
	! shown "$1" "$2" || return 0
	if [ ! -d "$1" ]; then
		remove "$2"
		ln -- "$1" "$2" 2>/dev/null || ln -s -- "$1" "$2"
		return
	fi
	[ -d "$2" ] && [ ! -L "$2" ] || rm -rf "$2"
	folder "$2"
	# Without its config.json a folder is no model: that goes first, and comes last.
	rm -f "$2/config.json"
	within "$2"
	for f in "${WITHIN[@]}"; do
		[ -e "$2/$f" ] && [ -z "$(find -L "$STORE" -samefile "$2/$f" -print -quit)" ] || rm -f "$2/$f"
	done
	within "$1"
	for f in "${WITHIN[@]}"; do
		[[ $f != */* ]] || folder "$2/${f%/*}"
		[ "$f" = config.json ] || show_at "$1/$f" "$2/$f"
	done
	[ ! -e "$1/config.json" ] || show_at "$1/config.json" "$2/config.json"
}
