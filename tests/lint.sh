#!/bin/sh
# SPDX-License-Identifier: MIT
#
# make lint: static checks.  A check whose tool is missing is named and left out;
# every other finding fails.
# shellcheck disable=SC2016,SC2046
set -u
CC=${CC:-gcc} NVCC=${NVCC:-nvcc}
bad=0
jobs=$(nproc 2>/dev/null || echo 1)

have() {
	command -v "$1" >/dev/null 2>&1 || {
		echo "lint: $1 is not installed: left out"
		return 1
	}
}
check() {
	echo "lint: $1"
	shift
	"$@" || bad=1
}

headers_compile_alone() {
	printf "%s\n" lib/*/*.h lib/*/*/*.h cmd/*.h | xargs -n 1 -P "$jobs" sh -c 'echo "#include \"$1\"" | '"$CC"' -std=c11 \
		-D_POSIX_C_SOURCE=200809L -I. -Wall -Wextra '"$(pkg-config --cflags msgpack jansson)"' -fsyntax-only -x c -' sh
}

# Data flows down this list; a room may include only itself and those before it.
rooms_in_order() {
	rooms="base stream recipe text model cuda engine score eval report"
	status=0
	for room in $rooms; do
		allowed="${allowed:-}${allowed:+|}$room"
		grep -rnE --include="*.[ch]" '#include "lib/' lib/"$room" |
			grep -vE "#include \"lib/($allowed)/" && status=1
		grep -rnE --include="*.[ch]" '#include "cmd/' lib/"$room" && status=1
	done
	return $status
}

names_have_the_prefix() {
	! nm -g --defined-only "${LIB:?}" 2>/dev/null | awk 'NF == 3 && $3 !~ /^reap_/ {print}' | grep .
}

file_names_are_unique() {
	! git ls-files 'lib/*.[ch]' 'cmd/*.[ch]' | sed 's,.*/,,' | sort | uniq -d | grep .
}

library_does_not_print_or_exit() {
	! grep -nE '(^|[^a-z_])(printf|puts|perror|exit|abort|_exit)\(|\<std(out|err)\>' $(find lib -name "*.c") |
		grep -vE 'snprintf|vsnprintf'
}

# Under bats a failed `! command` fails no test unless it is the last line, nor does a
# failed `[ a ]` of `[ a ] && [ b ]`: `|| false` after the one, a line each for the other.
# Lines are joined first where a list or a pipe goes on.
test_lines_can_fail() {
	! awk '
		{ sub(/^[ \t]+/, ""); line = line $0 }
		/(\\|\||&&)([ \t]+#.*)?$/ { sub(/([ \t]+#.*|\\)$/, "", line); line = line " "; next }
		line ~ /^((.*(\|\||&&|;)|then|do|else|\{) )?! / && line !~ /! .*\|\|/ && line !~ /^(el)?if |^(while|until) / ||
		line ~ /\]\]? && \[/ && line !~ /\|\|/ && line !~ /^(el)?if |^(while|until) / {
			print FILENAME ":" FNR ": cannot fail: " line
		}
		{ line = "" }' tests/*.bats tests/*/*.bats tests/*.bash tests/*/*.bash | grep .
}

tests_can_be_executed() {
	! git ls-files -s 'tests/*.bats' | grep -v '^100755' | grep .
}

spdx_lines() {
	! git ls-files '*.c' '*.h' '*.sh' '*.bats' '*.bash' | xargs grep -L 'SPDX-License-Identifier' |
		grep .
}

# jansson's own functions leave out what they find no memory for.
json_is_read_and_written_safely() {
	! git ls-files 'lib/*.c' 'cmd/*.c' | grep -v '^lib/base/json\.c$' |
		xargs grep -nE '\bjson_(load|dump)[a-z_]*\(' | grep .
}

# Before and since tensor cores take bf16 (lib/cuda/cu_attend.h).
gpu_kernels_compile() {
	status=0
	for gpu in 75 80; do
		"$NVCC" -std=c++17 -I. -arch=sm_$gpu -Werror all-warnings -Xcompiler -Wall,-Werror --cubin \
			-o /dev/null lib/cuda/reap_cuda.cu || status=1
	done
	return $status
}

check "headers compile alone" headers_compile_alone
check "rooms include only what lies before them" rooms_in_order
check "exported names begin with reap_" names_have_the_prefix
check "file names are unique" file_names_are_unique
check "JSON is read and written by lib/base/json.h" json_is_read_and_written_safely
check "the library neither prints nor exits" library_does_not_print_or_exit
check "every source names its licence" spdx_lines
check "tests can be executed" tests_can_be_executed
check "lines of tests can fail" test_lines_can_fail
# Versions of clang-format lay lines out differently: only that of Debian 12 decides.
formatting() {
	git ls-files '*.c' '*.h' | xargs -n 20 -P "$jobs" clang-format --dry-run --Werror
}
if have clang-format; then
	case $(clang-format --version) in
	*"version 14."*) check "formatting (clang-format -i)" formatting ;;
	*) echo "lint: clang-format is not version 14: formatting left out" ;;
	esac
fi
have "$NVCC" && check "kernels of the GPU compile" gpu_kernels_compile
have cppcheck && check cppcheck cppcheck -j "$jobs" --quiet --std=c11 --language=c -I. \
	--enable=warning,portability --inline-suppr --error-exitcode=1 \
	--suppress=missingIncludeSystem lib cmd
have shellcheck && check shellcheck sh -c \
	'git ls-files "*.sh" "*.bash" .ci/run pipelines | xargs grep -lE "^#!.*sh" | xargs shellcheck -x -S warning'
have mandoc && check "mandoc -Tlint" sh -c \
	'out=$(mandoc -Tlint man/*.[157] 2>/dev/null | grep -vE "referenced manual not found|lacks .* entry"); [ -z "$out" ] || { echo "$out"; exit 1; }'
exit $bad
