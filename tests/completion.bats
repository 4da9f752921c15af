#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The completion scripts offer what the tools accept.
load helpers

@test "bash: options of a tool" {
	run bash -c 'source cmd/completion/reap.bash
		COMP_WORDS=(reap-show --su) COMP_CWORD=1
		_reap reap-show && echo "${COMPREPLY[@]}"'
	[ "$output" = --summary ]
}

@test "bash: files where no option is begun" {
	run bash -c 'source cmd/completion/reap.bash
		COMP_WORDS=(reap-show LICEN) COMP_CWORD=1
		_reap reap-show && echo "${COMPREPLY[@]}"'
	[ "$output" = LICENSE ]
}

@test "bash: the choices of an option" {
	run bash -c 'source cmd/completion/reap.bash
		COMP_WORDS=(reap-accum --rule po) COMP_CWORD=2
		_reap reap-accum && echo "${COMPREPLY[@]}"'
	[ "$output" = policy ]
}

@test "bash: methods and kinds, which the help lists" {
	run bash -c 'source cmd/completion/reap.bash
		COMP_WORDS=(reap-rank --method "") COMP_CWORD=2
		_reap reap-rank && printf "%s\n" "${COMPREPLY[@]}"'
	{ reap-rank --method nosuch 2>&1 || true; } | sed -n '1s/.*but //p' | tr -d ' ' | tr , '\n' | diff - <(echo "$output")
	run bash -c 'source cmd/completion/reap.bash
		COMP_WORDS=(reap-show --encode s) COMP_CWORD=2
		_reap reap-show && echo "${COMPREPLY[@]}"'
	[ "$output" = "saliency scores" ]
	# Every kind that there is.
	for kind in $(reap-show --help | sed -n '/--encode KIND/,/--no-history/p' | grep -oE '(tokens|trace|saliency|scores|plan|manifest|eval)'); do
		reap-show --encode "$kind" </dev/null | reap-show -s >/dev/null
	done
}

@test "bash: a short option, a value behind =, targets and variables of reap-run" {
	completes() {
		run bash -c 'source cmd/completion/reap.bash
			COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
			PATH=pipelines:$PATH
			_reap "$1" && echo "${COMPREPLY[@]}"' bash "${@:2}"
		[ "$output" = "$1" ] || { echo "$output"; return 1; }
	}
	completes "reap reap_l2" reap-rank --method = rea
	completes block reap-show -t blo
	completes "meta metrics" reap-show --type = me
	completes tiny-keep24 reap-run tiny-keep24
	completes "prune prune-cache" reap-run prun
	completes "STOP=" reap-run tiny-keep24 ST
	completes decided reap-run tiny-keep24 STOP =
	completes "local parallel slurm" reap-run STOP = decided LAUNCHER = ""
	completes cmd/completion reap-run prune DATA = cmd/comp
	completes --dry-run reap-run --d
}

@test "all three know every tool" {
	for script in cmd/completion/*; do
		for tool in "$REAP_BIN"/reap-*; do
			grep -qw -- "$(basename "$tool")" "$script" || { echo "$script: $tool"; return 1; }
		done
	done
}

# zsh_completes WORDS SEEN: a real completion in a pseudo-terminal: zpty types the words and
# a tab.  A shell that is not reading yet may lose them, so they are typed again every ten seconds.
zsh_completes() {
	command -v zsh >/dev/null || skip "zsh is not installed"
	run zsh -f -c '
		zmodload zsh/zpty
		zpty z zsh -f
		# Type $1 until $2 is seen.
		until_seen() {
			for i in {0..599}; do
				(( i % 100 )) || zpty -w -n z "$1"
				zpty -r -t z line && out+=$line
				[[ $out == *$2* ]] && return
				sleep 0.1
			done
			print -r -- "$out"; exit 1
		}
		until_seen "bindkey -e; fpath=($PWD/cmd/completion \$fpath); autoload -U compinit; compinit -u -D; PS1=; echo rea\"\"dy"$'"'\n'"' ready
		until_seen "$1" "$2"' zsh $'\cu'"$1"$'\t' "$2"
	[ "$status" -eq 0 ] || { echo "$output"; return 1; }
}

@test "zsh: options of a tool, choices of an option, backends" {
	zsh_completes "reap-show --su" --summary
	zsh_completes "reap-rank --method weigh" weighted_ean_sum
	zsh_completes "reap-show --encode sal" saliency
	zsh_completes "reap-accum --rule po" policy
	zsh_completes "reap-tokenize --strategy gl" global
	zsh_completes "REAP_GEMM=open" openblas
	zsh_completes "REAP_CPU=sca" scalar
}

@test "fish: options of a tool" {
	command -v fish >/dev/null || skip "fish is not installed"
	run env HOME="$TMP" fish --no-config -c 'source cmd/completion/reap.fish; complete -C "reap-show --su"'
	[[ "$output" == *--summary* ]]
}
