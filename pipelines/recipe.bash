# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of the scripts that read this
#
# Recipes, and the files that they name.  reap-recipe reads the YAML and hands over
# words; nothing here looks into it.

declare -A AT=() # =NAME.KEY: FILE:LINE of a recipe's key
PROBLEMS=0

# recipe NAME FILE: its values as the array NAME, by dotted key; a list of N as
# KEY.count and KEY.0 ...
recipe() {
	local -n values=$1
	local words i
	values=()
	mapfile -d '' -t words < <(reap-recipe --words -- "$2")
	wait $! || exit 1
	for ((i = 0; i < ${#words[@]}; i += 3)); do
		values[${words[i]}]=${words[i + 1]}
		AT["=$1.${words[i]}"]=${words[i + 2]}
	done
}

# recipe_id FILE: in ID.  For the key of a stage it is what the file holds, so that
# comments and the division into files change nothing.
recipe_id() {
	ID=$(reap-recipe --id "$1") || exit 1
	DIGEST_OF["=$1"]=${ID##*:} LOOK_OF["=$1"]=$(look "$1")
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

# joined SEPARATOR WORD...
joined() {
	local IFS=$1
	shift
	REPLY=$*
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

# model_dir ID PATH: the folder of a model: in MODELS, where reap itself lies, or the
# recipe's own PATH; where it should be when it is nowhere.
model_dir() {
	first "$MODELS/$1/config.json" "$ROOT/$1/config.json" ${2:+"$2/config.json"}
	REPLY=${REPLY%/config.json}
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

# ---- checking, before any work ----

# problem NAME.KEY WHY: said with the recipe's line; all are said before the end.
problem() {
	say "${AT["=$1"]:-recipe}: ${1#*.}: $2"
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

# check_model NAME KEY ID FOLDER
check_model() {
	if [ ! -e "$4/config.json" ]; then
		fetch "$3" --exclude 'original/*' 'metal/*' --local-dir "$4"
		problem "$1.$2" "no model $3 at $4: $REPLY"
	fi
}

check_tokenizer() {
	[ ! -e "$4/config.json" ] || [ -e "$4/tokenizer.json" ] || problem "$1.$2" "model $3 at $4 has no tokenizer.json"
}

# check_packs NAME KEY REPO: of PACK_FILES.
check_packs() {
	local i file
	for i in "${!PACK_FILES[@]}"; do
		[ ! -e "${PACK_FILES[i]}" ] || continue
		file=${ITEMS[i]#*=}
		fetch "$3" "$file" --repo-type dataset --local-dir "$PACKS/$3"
		problem "$1.$2.$i" "no pack $file at ${PACK_FILES[i]}: $REPLY"
	done
}

# check_file NAME KEY FILE
check_file() {
	[ -e "$3" ] || problem "$1.$2" "no such file: ${3##*/}"
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

# check_kept FILE: a token stream without a token that counts is useless.
check_kept() {
	local empty
	[ "$MODE" = run ] || return 0
	empty=$(reap-show -t pack "$1" | jq -r 'select(.kept == 0) | .pack')
	[ -z "$empty" ] || fail "${1#"$OUT"/}: no token of these packs would count: ${empty//$'\n'/, }"
}

# check_disk BYTES WHAT: is there room for it in OUT?
check_disk() {
	local free
	free=$(df --output=avail -B1 "$OUT" | tail -n 1)
	[ "$free" -ge "$1" ] || fail "$OUT: $2 takes about $(numfmt --to=iec-i --suffix=B "$1"), and $(numfmt --to=iec-i --suffix=B "$free") are free"
}
