# SPDX-License-Identifier: MIT
# bash completion for the reap tools.  Options, and the choices of those written
# as --option a|b|c or --option NAME followed by a list of them, come from each tool's own
# --help; everything else is a file.
_reap() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} help choices
	help=$("$1" --help 2>/dev/null) || return
	if [[ $prev == -* ]]; then
		choices=$(grep -oE -- "(^|[ ,])$prev(, --[a-z0-9-]+)? [a-z0-9_]+(\|[a-z0-9_]+)+" <<<"$help" |
			head -n 1 | grep -oE '[^ ]+$')
		[[ -n $choices ]] || choices=$(awk -v option="$prev" '
			$1 == option && $2 ~ /^[A-Z]+$/ { on = 1; sub(/^ *[^ ]+ +[^ ]+ +/, "") }
			on && /^ *-/ { exit }
			on { all = all " " $0 }
			END { sub(/^.*: /, "", all); gsub(/\([^)]*\)/, "", all); gsub(/[ \t]+/, "", all)
				if (all ~ /^[a-z0-9_]+(,[a-z0-9_]+)+$/) { gsub(/,/, "|", all); print all } }' <<<"$help")
	fi
	if [[ -n $choices ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${choices//|/ }" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '--[a-z0-9][a-z0-9-]+' <<<"$help" |
			sort -u)" -- "$cur")
	else
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -F _reap reap-tokenize reap-route reap-accum reap-rank reap-cut reap-rewrite reap-ppl \
	reap-gate reap-recipe reap-report reap-show reap-run
