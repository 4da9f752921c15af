# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154 # variables of the scripts that read this
#
# An evaluation, by the recipe in E: the same tokens through one or two models.  ENTRY is
# the number of the run_matrix entry, or empty.  All files go to a folder F.  And what
# comes after it: card and checksums of the model, and words about where all is.

# shellcheck source=recipe.bash
. "$here/recipe.bash"

# collector KEY: of the entry, else of the recipe, else of what it extends; null is
# empty.
collector() {
	REPLY=${E[run_matrix.$ENTRY.collector_overrides.$1]-${E[collector_overrides.$1]-${E[collector_defaults.$1]-}}}
}

gates() {
	beside "$EVALUATION" "${E[paths.gates_json]:-near_lossless_gates.json}"
	GATES=$REPLY
}

# maker SIDE: the recipe that makes the model of a side, as MAKER, and its file in REPLY.
maker() {
	local file
	beside "$EVALUATION" "${E[$1.made_by]}"
	file=$REPLY
	[ -e "$file" ] || {
		problem "E.$1.made_by" "there is no recipe ${E[$1.made_by]}"
		return 1
	}
	recipe MAKER "$file"
	check_kind E "$1.made_by" "$file" MAKER reap_recipe
	REPLY=$file
}

# is_evaluated PACK: is it the union, or one of the packs?  Where packs are held out whole, the
# split has these or the others.
is_evaluated() {
	local pack part=calib
	[ "$1" != "${E[calib_packs.derived_union_name]:-}" ] || return 0
	items E calib_packs.holdout.packs
	for pack in "${ITEMS[@]}"; do
		[ "$pack" != "$1" ] || part=eval
	done
	[ ${#ITEMS[@]} -eq 0 ] || [ $part = "${E[calib_packs.holdout.split]:-}" ] || return 1
	for pack in "${PACK_WORDS[@]%%=*}"; do
		[ "$pack" != "$1" ] || return 0
	done
	return 1
}

# Before any work.
check_evaluation() {
	local said judged pack at=paths.gates_json
	packs E "${E[calib_packs.dataset_repo]}" calib_packs.pack_files
	for pack in "${PACK_WORDS[@]%%=*}"; do
		[ "$pack" != "${E[calib_packs.derived_union_name]:-}" ] || problem E.calib_packs.derived_union_name "a pack is called $pack already"
	done
	check_packs E calib_packs.pack_files "${E[calib_packs.dataset_repo]}"
	gates
	# It reads the gates before the evals, of which there is none here.
	said=$(reap-gate --gates "$GATES" -- /dev/null /dev/null 2>&1) || [[ $said != *"$GATES"* ]] || {
		problem E.$at "${said#reap-gate: }"
		return 0
	}
	[ "${E[kind]}" = eval_recipe ] || return 0
	judged=$(jq -r .primary_pack "$GATES")
	! is_evaluated "$judged" || return 0
	# Where the recipe names no gates of its own, its packs are what is wrong.
	[[ ${AT["=E.$at"]:-} == "$EVALUATION":* ]] || at=calib_packs.pack_files
	problem E.$at "${GATES##*/}: primary_pack: $judged is none of the packs that are evaluated"
}

# eval_tokens F MODEL: the packs as blocks, with the model's tokenizer.
eval_tokens() {
	local O=()
	packs E "${E[calib_packs.dataset_repo]}" calib_packs.pack_files
	collector seq_lens_csv
	O+=(--seq-len "$REPLY")
	collector num_blocks
	opt --blocks "$REPLY"
	opt --keep "${E[calib_packs.keep]:-}"
	opt --text-column "${E[calib_packs.text_column]:-}"
	opt --holdout "${E[calib_packs.holdout.fraction]:-}"
	held_out E calib_packs.holdout.packs
	opt --split "${E[calib_packs.holdout.split]:-}"
	opt --union "${E[calib_packs.derived_union_name]:-}"
	LIST=E.calib_packs.pack_files stage "$1/eval.tokens" from "tokenizer:$2" "${PACK_FILES[@]/#/rows:}" run \
		reap-tokenize -m "$2" "${O[@]}" -- "${PACK_WORDS[@]}"
}

# eval_model F NAME MODEL [LOOK]: one model on the tokens, as F/NAME.eval.
eval_model() {
	local O=()
	opt --entropy-topk "${E[eaft.entropy_topk]:-}"
	[ -z "${E[eaft.prob_bins]:-}" ] || O+=(--bins "${E[eaft.prob_bins]}x${E[eaft.entropy_bins]}")
	opt --cc-quantile "${E[eaft.cc_quantile]:-}"
	opt --prob-scale "${E[eaft.prob_scale]:-}"
	if [ "${E[eaft.prob_scale]:-}" = log ]; then
		opt --logp-min "${E[eaft.logp_min]:-}"
		opt --logp-max "${E[eaft.logp_max]:-}"
	fi
	forward "$1/$2.eval" from "$3" "$1/eval.tokens" run reap-ppl ${4:+--look "$4"} -m "$3" "${O[@]}" -- "$1/eval.tokens"
}

# eval_verdict F LEFT RIGHT [OPTION]: FAIL and UNDECIDED (4) are results, not failures.  Every model
# that is made here lies in a folder `model`, so it is called after the folder that that is in.
eval_verdict() {
	local O=("${@:4}") name=${3%/model}
	gates
	[[ $3 != "$OUT"/*/model ]] || opt --name "${name##*/}"
	opt --rule "${E[gate.rule]:-}"
	ACCEPT=4 stage "$1/verdict.txt" "$1/verdict.md" "$1/verdict.json" from "$1/base.eval" "$1/pruned.eval" "$1/eval.tokens" "$2/tokenizer.json" "$GATES" run \
		reap-gate --gates "$GATES" "${O[@]}" --markdown "$1/verdict.md" --json "$1/verdict.json" \
		--tokens "$1/eval.tokens" --tokenizer "$2/tokenizer.json" -- "$1/base.eval" "$1/pruned.eval"
}

# eval_pair F LEFT RIGHT [LOOK [OPTION]]: both, or a look at them, and the verdict.  One model
# twice, or one whose rewrite has the same weights, is run twice: what differs then is noise.
eval_pair() {
	local again='' how=forward left
	stand "$2"
	left=$REPLY
	stand "$3"
	if [ "$2" = "$3" ]; then
		again=2
	elif [ "$left" = "$REPLY" ]; then
		again=rewritten
	fi
	eval_model "$1" base "$2" "${4:-}"
	AGAIN=$again LIKE=$1/base.eval eval_model "$1" pruned "$3" "${4:-}"
	eval_verdict "$1" "$2" "$3" "${@:5}"
}

# decided F LOOK: by a verdict at this look.
decided() {
	jq -e --argjson look "$2" '.look.number == $look and .verdict != "UNDECIDED"' "$1/verdict.json" >/dev/null 2>&1
}

# eval_looks F LEFT RIGHT: both and the verdict, with STOP=decided at the first look that
# decides.  Each look takes the place of the one before.  What is only shown or planned is the
# look that has decided, else all blocks, which is the most that it takes.
eval_looks() {
	local look
	[ -n "$STOP" ] || {
		eval_pair "$@"
		return
	}
	for look in 1 2 3; do
		[[ $MODE == @(run|count) ]] || decided "$1" $look || continue
		eval_pair "$@" $look
		[ "$MODE" != count ] && decided "$1" $look || continue
		STEPS=$((STEPS - 3 * (4 - look)))
		return
	done
	eval_pair "$@" '' --last-look
}

# finish_model FOLDER SOURCE FROM [VERDICT.md OPTION...]: the card and the checksums of
# FOLDER/model, which was made from SOURCE and whose order of experts is FROM rows or not,
# with a verdict on it: its text for people, and the options of card that speak of it.
finish_model() {
	local m=$1/model
	local words=(--recipe "$1/recipe.yaml" --manifest "$1/rewrite.manifest" --source "$2" --model "$m")
	local shipped=()
	[ "$3" != rows ] || words+=(--tokens "$1/calib.tokens")
	if [ $# -gt 3 ]; then
		stage "$m/verdict.md" from "$4" run cat -- "$4"
		shipped=("$m/verdict.md")
		words+=("${@:5}")
	fi
	stage "$m/README.md" from "${words[@]}" run "$here/card/card" "${words[@]}"
	shipped+=("$m/README.md")
	stage "$m/SHA256SUMS" from "$1/rewrite.manifest" "${shipped[@]}" run \
		"$here/checksums" "$1/rewrite.manifest" "${shipped[@]}"
}

# doubts: the warnings of documents of reap-report.
doubts() {
	local text
	text=$(jq -rs 'map(.warnings // []) | add | unique | .[] | "warning: \(.of): \(.text)"')
	[ -z "$text" ] || put '%s\n' "$text"
}

# made FOLDER FILE...: say where they are.
made() {
	local f
	for f in "${@:2}"; do
		[ ! -e "$1/$f" ] || put '%-16s %s\n' "${f%.*}" "$1/$f"
	done
}
