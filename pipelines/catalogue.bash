# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that read this
#
# Recipes by the names of their targets.

# target_of FILE: its `target`, unless that is inherited: then the name of the file.
# KIND is its kind.  Not 0 when it cannot be read, is nothing that is run, or names no folder.
target_of() {
	local words i
	REPLY='' KIND=''
	mapfile -d '' -t words < <(reap-recipe --words -- "$1" 2>/dev/null)
	for ((i = 0; i < ${#words[@]}; i += 3)); do
		case ${words[i]} in
		target) [ "${words[i + 2]%:*}" != "$1" ] || REPLY=${words[i + 1]} ;;
		kind)
			KIND=${words[i + 1]}
			[[ $KIND != reap_scores ]] || return 1 # and has thousands of words
			;;
		esac
	done
	if [ -z "$REPLY" ]; then
		REPLY=${1##*/}
		REPLY=${REPLY%.yaml}
	fi
	# It names a folder of OUT, not OUT itself, what is above it or the store.
	[[ -n $REPLY && $REPLY != .* && $REPLY != *[[:cntrl:]]* ]] || return 1
	case $KIND in
	reap_recipe | eval_recipe | eval_single_recipe | cost_probe) ;;
	*) return 1 ;;
	esac
}

# broken FILE: say what keeps a recipe from being read; one that only others extend is
# not broken.
broken() {
	local why
	why=$(reap-recipe --check -- "$1" 2>&1) || true
	[ -n "$why" ] && [[ $why != *': kind: missing' ]] && printf '%s\n' "$why" >&2
}

# find_recipe TARGET: its file, in RECIPES, else among the shipped, in REPLY.
find_recipe() {
	local folder f found names=() unread
	if [[ $1 == *.yaml ]]; then
		absolute "$1"
		[ -e "$REPLY" ] || fail "$REPLY: no such file"
		reap-recipe --check -- "$REPLY" || exit 1
		return
	fi
	for folder in "$RECIPES" "$SHIPPED"; do
		found=() unread=0
		for f in "$folder"/*.yaml; do
			if target_of "$f"; then
				names+=("$REPLY")
				[ "$REPLY" != "$1" ] || found+=("$f")
			elif [ -z "$KIND" ]; then
				unread=1
			fi
		done
		[ ${#found[@]} -lt 2 ] || fail "target $1: of two recipes: ${found[*]}"
		REPLY=${found[0]:-}
		[ -z "$REPLY" ] || return 0
		# It may be the one that is meant, and no other of that name.
		if [ $unread -eq 1 ]; then
			unread=0
			for f in "$folder"/*.yaml; do
				! broken "$f" || unread=1
			done
			[ $unread -eq 0 ] || fail "no target $1 among the other recipes of $folder"
		fi
		[ "$RECIPES" != "$SHIPPED" ] || break
	done
	nearest "$1" "${names[@]}" list demo criteria prune prune-cache help
	fail "no target $1; did you mean $REPLY? (\`list\` shows all)"
}

# nearest WORD NAME...: by edits.
nearest() {
	local word=$1
	shift
	REPLY=$(printf '%s\n' "$@" | WORD=$word awk '
		function least(a, b) { return a < b ? a : b }
		BEGIN { w = ENVIRON["WORD"]; n = length(w) }
		{
			for (j = 0; j <= n; j++) row[j] = j
			for (i = 1; i <= length($0); i++) {
				d = row[0]; row[0] = i
				for (j = 1; j <= n; j++) {
					c = d + (substr($0, i, 1) != substr(w, j, 1))
					d = row[j]
					row[j] = least(c, least(row[j], row[j - 1]) + 1)
				}
			}
			if (NR == 1 || row[n] < best) { best = row[n]; name = $0 }
		}
		END { print name }')
}
