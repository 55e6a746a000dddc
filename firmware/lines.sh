#!/bin/bash
# lines.sh FILE...: refuses a source file above 450 lines, and a function above 70.
set -euo pipefail
awk -v most_file=450 -v most_function=70 '
	FNR == 1 { if (NR > 1) file(); name = FILENAME; head = "" }
	/^[a-zA-Z_]/ { head = $0; at = FNR }
	/^\{/ { inside = head != "" }
	/^\}/ {
		if (inside && FNR - at + 1 > most_function) {
			printf "%s:%d: a function of %d lines, the limit is %d\n", FILENAME, at, FNR - at + 1, most_function
			bad = 1
		}
		inside = 0
		head = ""
	}
	{ last = FNR }
	END { file(); exit bad }
	function file() {
		if (last > most_file) { printf "%s: %d lines, the limit is %d\n", name, last, most_file; bad = 1 }
	}' "$@"
