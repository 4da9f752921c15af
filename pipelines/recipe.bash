# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that read this
#
# Recipes, and the files that they name.  reap-recipe reads the YAML and hands over
# words; nothing here looks into it.

# shellcheck source=stage.bash
. "$here/stage.bash"

declare -A AT=() # =NAME.KEY: FILE:LINE of a recipe's key
PROBLEMS=0

# recipe NAME FILE: its values as the array NAME, by dotted key; a list of N as KEY.count
# and KEY.0 ...; its identity as `id`.  In a stage it is recipe:FILE.
recipe() {
	local -n values=$1
	local words i
	values=()
	words_of words reap-recipe --words -- "$2"
	for ((i = 0; i < ${#words[@]}; i += 3)); do
		values[${words[i]}]=${words[i + 1]}
		AT["=$1.${words[i]}"]=${words[i + 2]}
	done
	DIGEST_OF["=recipe:$2"]=${values[id]##*:}
}

# items NAME KEY: the elements of a list in ITEMS.
items() {
	local -n values=$1
	local i
	ITEMS=()
	for ((i = 0; i < ${values[$2.count]:-0}; i++)); do
		ITEMS+=("${values[$2.$i]}")
	done
}

# opt FLAG VALUE: appended to the array O when there is a value.
opt() {
	[ -z "$2" ] || O+=("$1" "$2")
}

# held_out NAME KEY: the packs of a list, which are held out whole, appended to O.
held_out() {
	local pack
	items "$1" "$2"
	for pack in "${ITEMS[@]}"; do
		O+=(--holdout-pack "$pack")
	done
}

# shard_size GB DEFINITION: as reap-rewrite takes it.
shard_size() {
	[ "$2" = gib ] && REPLY=Gi || REPLY=G
	opt --max-shard-size "${1:+$1$REPLY}"
}

# ---- finding ----

# first PATH...: the first that is there, in REPLY, else the first.
first() {
	local path
	for path; do
		REPLY=$path
		[ ! -e "$path" ] || return 0
	done
	REPLY=$1
}

# beside FILE NAME: a file that the recipe FILE names: beside it, or shipped with reap.
beside() {
	case $2 in
	/*) REPLY=$2 ;;
	*) first "${1%/*}/$2" "$SHIPPED/$2" ;;
	esac
}

# model_dir ID PATH: the folder of a model: in MODELS, where reap itself lies, the recipe's
# own PATH, or the cache of huggingface_hub; where it should be when it is nowhere.
model_dir() {
	local cached
	first "$MODELS/$1/config.json" "$ROOT/$1/config.json" ${2:+"$2/config.json"}
	REPLY=${REPLY%/config.json}
	if [ ! -e "$REPLY" ] && cached=$(reap-show --where "$1" 2>/dev/null) && [ -e "$cached/config.json" ]; then
		REPLY=$cached
	fi
}

# packs NAME REPO KEY: the packs of a list as PACK_FILES and, NAME=FILE, PACK_WORDS.  One
# is named after its file unless the recipe says PACK=FILE; it may lie there as JSON
# lines instead of Parquet.
packs() {
	local item name file
	items "$1" "$3"
	PACK_FILES=() PACK_WORDS=()
	for item in "${ITEMS[@]}"; do
		file=${item#*=} name=${item%%=*}
		if [ "$file" = "$item" ]; then
			name=${item##*/}
			name=${name%.*}
		fi
		first "$PACKS/$2/$file" "$PACKS/$2/${file%.parquet}.jsonl" "$ROOT/$2/$file"
		PACK_FILES+=("$REPLY") PACK_WORDS+=("$name=$REPLY")
	done
}

# order_of NAME: where the order of the experts comes from: scores (given ones), rows, or
# nowhere, because all stay.
order_of() {
	local -n values=$1
	if [ -n "${values[source.scores_yaml]:-}" ]; then
		REPLY=scores
	elif [ -n "${values[model.keep_n]:-}" ] && [ "${values[model.keep_n]}" = "${values[model.num_experts]:-}" ]; then
		REPLY=all
	else
		REPLY=rows
	fi
}

# target FILE: what a recipe's folder is called.
target() {
	words_of FOUND reap-recipe --targets -- "$1"
	REPLY=${FOUND[0]}
}

# ---- checking, before any work ----

# problem NAME.KEY WHY: said with the recipe's line; all are said before the end.
problem() {
	say "${AT["=$1"]:-${AT["=$1.count"]:-recipe}}: ${1#*.}: $2"
	PROBLEMS=1
}

no_problems() {
	[ $PROBLEMS -eq 0 ] || exit 1
}

# fetch REPO OPTION...: how to get what is not there.
fetch() {
	quoted hf download "$@"
	[[ $1 != tests/* ]] || REPLY="it lies in the sources of reap: run it there, or name them as MODELS and PACKS"
}

# check_model NAME KEY ID FOLDER [tokenizer]: is the model there, and with `tokenizer` its
# tokenizer?
check_model() {
	if [ ! -e "$4/config.json" ]; then
		fetch "$3" --exclude 'original/*' 'metal/*' --local-dir "$4"
		problem "$1.$2" "no model $3 at $4: $REPLY"
	elif [ -n "${5:-}" ] && [ ! -e "$4/tokenizer.json" ]; then
		problem "$1.$2" "model $3 at $4 has no tokenizer.json"
	fi
}

# check_packs NAME KEY REPO: are PACK_FILES there?
check_packs() {
	local i file
	for i in "${!PACK_FILES[@]}"; do
		[ ! -e "${PACK_FILES[i]}" ] || continue
		file=${ITEMS[i]#*=}
		# A name without a suffix is that of a folder.
		[[ ${file##*/} == *.* ]] || file="--include=$file/*"
		fetch "$3" "$file" --repo-type dataset --local-dir "$PACKS/$3"
		problem "$1.$2.$i" "no pack ${ITEMS[i]#*=} at ${PACK_FILES[i]}: $REPLY"
	done
}

# check_file NAME KEY FILE
check_file() {
	[ -e "$3" ] || problem "$1.$2" "no such file: ${3##*/}"
}

# check_base MAKER BASE KEY: does the evaluation E name the model BASE that the recipe MAKER
# prunes?  If not, KEY is wrong.
check_base() {
	[ "${E[pair.left.model_id]:-$2}" = "$2" ] ||
		problem "$3" "the base there is ${E[pair.left.model_id]}, but ${1##*/} prunes $2"
}

# check_kind NAME KEY FILE OTHER KIND...: is the recipe FILE, read as OTHER, one of them?
check_kind() {
	local -n other=$4
	local kind=${other[kind]:-nothing that is run}
	[[ " ${*:5} " == *" $kind "* ]] || {
		problem "$1.$2" "${3##*/} is $kind, not $5"
		no_problems
	}
}

# check_disk BYTES WHAT: is there room for it in OUT?
check_disk() {
	local free
	free=$(df --output=avail -B1 "$OUT" | tail -n 1)
	[ "$free" -ge "$1" ] || fail "$OUT: $2 takes about $(numfmt --to=iec-i --suffix=B "$1"), but only $(numfmt --to=iec-i --suffix=B "$free") are free"
}
