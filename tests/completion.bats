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

@test "all three know every tool" {
	for script in cmd/completion/*; do
		for tool in "$REAP_BIN"/reap-*; do
			grep -qw -- "$(basename "$tool")" "$script" || { echo "$script: $tool"; return 1; }
		done
	done
}

@test "zsh: options of a tool" {
	command -v zsh >/dev/null || skip "zsh is not installed"
	# A real completion in a pseudo-terminal: zpty types --su and a tab.
	run zsh -f -c '
		zmodload zsh/zpty
		zpty z zsh -f
		zpty -w z "fpath=($PWD/cmd/completion \$fpath); autoload -U compinit; compinit -u -D; PS1="
		sleep 1
		zpty -w -n z $'\''reap-show --su\t'\''
		for i in {1..50}; do
			sleep 0.1
			zpty -r -t z line && out+=$line
			[[ $out == *--summary* ]] && { echo found; exit 0; }
		done
		print -r -- "$out"; exit 1'
	[[ "$output" == *found* ]]
}

@test "fish: options of a tool" {
	command -v fish >/dev/null || skip "fish is not installed"
	run env HOME="$TMP" fish --no-config -c 'source cmd/completion/reap.fish; complete -C "reap-show --su"'
	[[ "$output" == *--summary* ]]
}
