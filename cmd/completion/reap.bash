# SPDX-License-Identifier: MIT
# bash completion for the reap tools.  Options, and the choices of those written
# as --option a|b|c or --option NAME followed by a list of them, come from each tool's own
# --help, and so do the variables of reap-run; its targets are those of its list; everything else
# is a file.
_reap() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} help choices=''
	help=$("$1" --help 2>/dev/null) || return
	# Bash makes three words of --option=value and NAME=value.
	if [[ $cur == = ]]; then
		cur=''
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case $prev in
	-*) choices=$(awk -v option="$prev" '
		/^ *-/ { on = 0 }
		$1 == option || $1 == option "," || $2 == option { on = 1; sub(".*" option "(, --[a-z-]+)? +", "") }
		on { all = all " " $0 }
		END {
			if (match(all, /^ [a-z0-9_]+(\|[a-z0-9_]+)+/)) all = substr(all, 2, RLENGTH - 1)
			else { sub(/^ [A-Z]+ +/, "", all); sub(/^.*: /, "", all) }
			gsub(/\([^)]*\)|[ \t]/, "", all)
			if (all ~ /^[a-z0-9_]+([,|][a-z0-9_]+)+$/) { gsub(/[,|]/, " ", all); print all }
		}' <<<"$help") ;;
	[A-Z]*) choices=$(grep -oE "\b$prev=[a-z|]+" <<<"$help" | sed 's/.*=//; s/|/ /g') ;;
	"$1")
		if [[ $1 == *reap-run && $cur != -* ]]; then
			choices="$("$1" list 2>/dev/null | awk 'NR > 1 { print $1 }') list prune prune-cache demo criteria"
		fi
		;;
	*)
		if [[ $1 == *reap-run ]]; then
			choices=$(grep -oE '\b[A-Z]+=' <<<"$help" | sort -u)
			compopt -o nospace 2>/dev/null
		fi
		;;
	esac
	if [[ $cur == -* ]]; then
		choices=$(grep -oE -- '--[a-z0-9][a-z0-9-]+' <<<"$help" | sort -u)
	fi
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$cur")
	if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -F _reap reap-tokenize reap-route reap-accum reap-rank reap-cut reap-rewrite reap-ppl \
	reap-gate reap-recipe reap-report reap-show reap-run
