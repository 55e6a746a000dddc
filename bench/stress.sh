#!/bin/sh
# stress.sh: runs the tests of each package five times, and three times while eight busy loops run,
# one package at a time. It stops after MINUTES (8) and prints how many runs remain; run it again to
# continue. What has passed is kept in bin/stress for the present commit and working tree. PKGS says
# which packages, CALM and BUSY how many times; RACE= turns the race detector off.
set -u

minutes=${MINUTES:-8} calm=${CALM:-5} busy=${BUSY:-3} loops=${LOOPS:-8} race=${RACE--race} go=${GO:-go}
cd "$(dirname "$0")/.." || exit 1
state=$( (git rev-parse HEAD && git diff HEAD) | sha256sum | cut -c1-16)
done_in=bin/stress/$state
mkdir -p "$done_in" || exit 1
end=$(($(date +%s) + minutes * 60))

pids=
start_loops() {
	i=0
	while [ $i -lt "$loops" ]; do
		sh -c 'while :; do :; done' &
		pids="$pids $!"
		i=$((i + 1))
	done
}
stop_loops() {
	for p in $pids; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done
	pids=
}
trap stop_loops EXIT
trap 'exit 130' INT TERM

failed=0 remain=0
for pkg in ${PKGS:-$($go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)}; do
	name=$(echo "$pkg" | tr / _)
	for kind in calm busy; do
		eval "rounds=\$$kind"
		round=1
		while [ $round -le "$rounds" ]; do
			mark=$done_in/$name.$kind.$round
			round=$((round + 1))
			[ -e "$mark" ] && continue
			if [ "$(date +%s)" -ge $end ]; then
				remain=$((remain + 1))
				continue
			fi
			limit=15m
			if [ $kind = busy ]; then
				limit=60m # five processes share a core
				start_loops
			fi
			began=$(date +%s)
			if $go test $race -count=1 -timeout $limit "$pkg" >"$mark.log" 2>&1; then
				mv "$mark.log" "$mark"
				echo "ok    $kind $pkg $(($(date +%s) - began)) s"
			else
				failed=$((failed + 1))
				echo "FAIL  $kind $pkg $(($(date +%s) - began)) s: $mark.log"
				grep -E '^ *--- FAIL|^panic|_test.go:[0-9]+:' "$mark.log" | head -20
			fi
			stop_loops
		done
	done
done
if [ $remain -gt 0 ]; then
	echo "$remain runs remain: run it again"
fi
echo "$failed failed"
[ $failed = 0 ] && [ $remain = 0 ]
