#!/bin/sh
# compare.sh REF: runs the benchmarks of this working tree and of another commit in turn and
# compares them with benchstat. BENCH says which ones (a pattern of go test -bench), SKIP which ones
# not, COUNT how many rounds, BENCHTIME how long each takes, and PKGS in which packages they are.
set -u

ref=${1:-}
count=${COUNT:-6} benchtime=${BENCHTIME:-300ms} bench=${BENCH:-.} skip=${SKIP-TapBesideFlood}
packages=${PKGS:-./coapres/wire ./gateway/access ./gateway/store ./bench}
go=${GO:-go}

fail() {
	echo "compare: $*" >&2
	exit 1
}

[ -n "$ref" ] || fail "say with what: make bench-compare REF=main"
case $count in '' | *[!0-9]* | 0) fail "COUNT=$count is not a number of rounds" ;; esac
root=$(git rev-parse --show-toplevel) || fail "this is not a clone of the repository"
cd "$root" || exit 1
commit=$(git rev-parse --verify --quiet "$ref^{commit}") || fail "REF=$ref is no commit here"
short=$(git rev-parse --short "$commit")

tmp=$(mktemp -d) || exit 1
child=
tidy() {
	cd "$root" # the present folder may be removed
	if [ -n "$child" ]; then
		kill "$child" 2>/dev/null
		wait "$child" 2>/dev/null
	fi
	git worktree remove --force "$tmp/ref" 2>/dev/null
	rm -rf "$tmp"
	git worktree prune
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# wait_for runs a program in the background and waits, so that a signal is handled at once.
wait_for() {
	"$@" &
	child=$!
	wait "$child"
	status=$?
	child=
	return $status
}

git worktree add --quiet --detach "$tmp/ref" "$commit" || fail "no working tree of $ref"

# build SIDE TREE NAME makes $tmp/SIDE-N.test of the Nth package of the tree.
build() {
	n=0
	for p in $packages; do
		n=$((n + 1))
		[ -d "$2/$p" ] || fail "$3 has no package $p: leave it out with PKGS"
		wait_for "$go" -C "$2" test -c -o "$tmp/$1-$n.test" "$p" ||
			fail "$p of $3 does not build: leave it out with PKGS, or choose another REF"
		[ -f "$tmp/$1-$n.test" ] || fail "$p of $3 has no benchmarks: leave it out with PKGS"
	done
}

# measure SIDE TREE NAME runs each package's benchmarks once, in the package's folder, where its
# test data is.
measure() {
	n=0
	for p in $packages; do
		n=$((n + 1))
		cd "$2/$p" || exit 1
		wait_for "$tmp/$1-$n.test" -test.run '^$' -test.bench "$bench" -test.skip "$skip" \
			-test.benchtime "$benchtime" -test.benchmem \
			>"$tmp/out" 2>&1 || { cat "$tmp/out" >&2; fail "$p of $3 failed"; }
		cat "$tmp/out" >>"$tmp/$1.txt"
		cd "$root" || exit 1
	done
}

build old "$tmp/ref" "$ref"
build new "$root" "the working tree"
round=0
while [ $round -lt "$count" ]; do
	round=$((round + 1))
	echo "round $round of $count" >&2
	measure old "$tmp/ref" "$ref"
	measure new "$root" "the working tree"
done
for side in old new; do
	grep -q '^Benchmark' "$tmp/$side.txt" || fail "nothing matches BENCH=$bench in $([ $side = old ] && echo "$ref" || echo "the working tree")"
done
wait_for "$go" tool benchstat "$short=$tmp/old.txt" "tree=$tmp/new.txt"
