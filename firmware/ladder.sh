#!/bin/bash
# ladder.sh NAME SOURCE... -- OBJECT...: refuses a circle among source files. A file (x.c with its
# x.h) stands above each file whose header it includes and each file whose function or variable it
# uses, by nm. Of what the objects use it knows only what another of them defines.
set -euo pipefail
name=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

while [ $# -gt 0 ] && [ "$1" != -- ]; do
	file=$(basename "$1")
	sed -n 's/^[[:space:]]*#[[:space:]]*include "\([^"]*\)".*/\1/p' "$1" | while read -r header; do
		header=$(basename "$header" .h)
		[ "$header" = "${file%.*}" ] || echo "${file%.*} $header"
	done
	shift
done >"$work/arrows"
[ $# -gt 1 ] || { echo "ladder: $name: no objects"; exit 1; }
shift

for object in "$@"; do
	nm -g "$object" | awk -v file="$(basename "$object" .o)" '{ print ($(NF-1) == "U" ? "uses" : "defines"), $NF, file }'
done | awk '
	$1 == "defines" { of[$2] = $3 }
	$1 == "uses" { uses[$3 " " $2] }
	END {
		for (u in uses) {
			split(u, p, " ")
			if (p[2] in of && of[p[2]] != p[1]) print p[1], of[p[2]]
		}
	}' >>"$work/arrows"

if ! tsort "$work/arrows" >"$work/order" 2>"$work/circle"; then
	echo "ladder: $name: these files use each other in a circle:"
	sed 's/^tsort: /  /' "$work/circle" | grep -v ' contains a loop' | sort -u
	exit 1
fi
echo "ladder: $name: $(sort -u "$work/arrows" | wc -l) arrows, no circle"
