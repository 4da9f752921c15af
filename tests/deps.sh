#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deps.sh [PACKAGE...]: install the Debian packages that reap's build, demo and tests
# need, and these, as far as they are missing.  Needs apt-get, and root or sudo;
# otherwise names what to install.
# The README says what each is for.
# shellcheck disable=SC2086
set -eu

build="gcc make pkg-config libc6-dev libmsgpack-dev libyaml-dev libjansson-dev libpcre2-dev libutf8proc-dev
libb2-dev libssl-dev libisal-dev zlib1g-dev libzstd-dev"
run="libopenblas0-pthread jq gnuplot-nox"
tests="bats perl mandoc shellcheck python3 python3-jinja2 parallel zstd"

command -v dpkg-query >/dev/null 2>&1 || {
	echo "deps: not a Debian system; install the equivalents of:" $build $run $tests "$@"
	exit 0
}
missing=
for p in $build $run $tests "$@"; do
	dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed ||
		missing="$missing $p"
done
[ -n "$missing" ] || exit 0

echo "deps: installing$missing"
if [ "$(id -u)" -eq 0 ]; then
	sudo=
elif command -v sudo >/dev/null 2>&1; then
	sudo=sudo
else
	echo "deps: neither root nor sudo: have$missing installed" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# An apt that runs elsewhere holds the lock for a while: wait for it.
$sudo apt-get -o DPkg::Lock::Timeout=300 update -qq
$sudo apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing >/dev/null
