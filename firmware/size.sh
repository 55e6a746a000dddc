#!/bin/bash
# size.sh MAP...: what each role needs, by the linker's map: bytes in flash of core and of Mbed TLS,
# constants included, and their static RAM (the node's state is its board's). Fails above the
# budget.
set -euo pipefail
budget=59392

printf '%-16s %8s %8s %8s %8s\n' role core mbedtls total ram
bad=0
for map in "$@"; do
	awk -v role="$(basename "$map" .map)" -v budget="$budget" '
		function hex(s,   i, n) {
			for (i = 3; i <= length(s); i++) n = 16 * n + index("0123456789abcdef", substr(s, i, 1)) - 1
			return n
		}
		function section(name, addr, size, file,   of, n) {
			n = hex(addr) == 0 ? 0 : hex(size)
			of = file ~ /libmbedtls/ ? "mbedtls" : "core"
			if (name ~ /^\.(text|literal|rodata|data)/) flash[of] += n
			if (name ~ /^\.(data|bss)/) ram += n
		}
		/^Linker script and memory map/ { on = 1 }
		!on { next }
		/^ \.[^ ]+$/ { long = $1; next } # a section whose long name has a line of its own
		/^ \.[^ ]+ +0x[0-9a-f]+ +0x[0-9a-f]+ / { section($1, $2, $3, $4) }
		/^ +0x[0-9a-f]+ +0x[0-9a-f]+ / && long != "" { section(long, $1, $2, $3) }
		{ long = "" }
		END {
			total = flash["core"] + flash["mbedtls"]
			printf "%-16s %8d %8d %8d %8d\n", role, flash["core"], flash["mbedtls"], total, ram
			if (total > budget) { printf "%s: %d bytes, the budget is %d\n", role, total, budget; exit 1 }
		}' "$map" || bad=1
done
exit $bad
