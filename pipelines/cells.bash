# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # variables of prune, which reads this
#
# Other cuts of the same scores and of others, judged: the `grid` of a recipe.

# cell NAME KEEP_N RANK... [-- CUT...]: the verdict and the plan are what is kept.
cell() {
	local c=$D/cells/$1-keep$2 n=$2 of=(-- "$D/saliency") rank=() O=()
	# The one criterion that looks at no tokens.
	[ "$1" != aimer ] || of=(-m "$MODEL")
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		rank+=("$1")
		shift
	done
	[ $# -eq 0 ] || shift
	opt --multiple-of "$MULTIPLE"
	opt --order "${R[selection_constraints.order]:-}"
	stage "$c/scores" from "${of[1]}" run reap-rank "${rank[@]}" "${of[@]}"
	stage "$c/plan" from "$c/scores" run reap-cut --keep-n "$n" "${O[@]}" "$@" -- "$c/scores"
	stage "$c/rewrite.manifest" "$c/model" from "$MODEL" "$c/plan" run \
		reap-rewrite -m "$MODEL" -o "$c/model" -- "$c/plan"
	eval_tokens "$c" "$MODEL"
	eval_pair "$c" "$MODEL" "$c/model"
	free "$c/scores" "$c/model" "$c/rewrite.manifest" "$c/eval.tokens" "$c/base.eval" "$c/pruned.eval"
	WORDS+=("${c##*/}" "$c/verdict.json")
	FILES+=("$c/verdict.json")
}

# Every criterion, random order and the reversed order, at every size.
grid() {
	local sizes criteria n c i
	local WORDS=() FILES=()
	items R grid.keep_n
	sizes=("${ITEMS[@]}")
	[ ${#sizes[@]} -gt 0 ] || return 0
	items R grid.criteria
	criteria=("${ITEMS[@]}")
	[ ${#criteria[@]} -gt 0 ] || criteria=("${R[scoring.criterion]}")
	for n in "${sizes[@]}"; do
		for c in "${criteria[@]}"; do
			by "$c"
			cell "$c" "$n" "${BY[@]}"
			[ "$c" != "${R[scoring.criterion]}" ] || CUTS+=(--cut "$D/cells/$c-keep$n/plan" --cut-verdict "$D/cells/$c-keep$n/verdict.json")
		done
		for ((i = 1; i <= ${R[grid.random_seeds]:-0}; i++)); do
			cell "random.$i" "$n" --method random --seed "$i"
		done
		by "${R[scoring.criterion]}"
		[ "${R[grid.reversed]:-}" != true ] || cell reversed "$n" "${BY[@]}" -- --reverse
	done
	stage "$D/grid.md" from "${FILES[@]}" run "$here/grid" "${D##*/}:" "${WORDS[@]}"
}
