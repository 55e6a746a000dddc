#!/bin/sh
# reach.sh LIST LOG: fails unless the run that wrote LOG, with -print_coverage=1, went through each
# function of LIST, on at least so many of its edges. A fuzzer that does not reach the code it is
# for finds nothing, and nobody would notice.
awk -v list="$1" '
	FNR == NR { if ($1 != "" && $1 !~ /^#/) want[$1] = $2; next }
	/^COVERED_FUNC:/ { split($5, edges, "/"); if (edges[1] + 0 > got[$6]) got[$6] = edges[1] + 0 }
	END {
		for (f in want) {
			n++
			if (got[f] < want[f]) { printf "%s: %s went through %d edges, at least %d are wanted\n", list, f, got[f], want[f]; bad = 1 }
		}
		if (n == 0) { print list ": no function is named"; bad = 1 }
		exit bad
	}' "$1" "$2"
