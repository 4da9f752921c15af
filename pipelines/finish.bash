# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # variables of the scripts that read this
#
# finish_model FOLDER [VERDICT.md OPTION...]: the card and the checksums of FOLDER/model,
# with a verdict on it: its text for people, and the options of card that speak of it.
finish_model() {
	local m=$1/model words=(--recipe "$1/recipe.yaml" --manifest "$1/rewrite.manifest" --model "$1/model")
	local word files=() shipped=()
	[ ! -e "$1/calib.tokens" ] && [ -z "${MAKER_OF["=$1/calib.tokens"]:-}" ] || words+=(--tokens "$1/calib.tokens")
	if [ $# -gt 1 ]; then
		stage "$m/verdict.md" from "$2" run cat -- "$2"
		shipped=("$m/verdict.md")
		words+=("${@:3}")
	fi
	for word in "${words[@]}"; do
		[[ $word == --* ]] || files+=("$word")
	done
	stage "$m/README.md" from "${files[@]}" run "$here/card" "${words[@]}"
	shipped+=("$m/README.md")
	stage "$m/SHA256SUMS" from "$1/rewrite.manifest" "${shipped[@]}" run \
		"$here/checksums" "$1/rewrite.manifest" "${shipped[@]}"
}
