#!/bin/bash
# size.sh OBJECTS MAP...: what each image takes of the chip's memory, by the linker's map of the
# image that ran, and the ten largest stack frames among the objects of core and Mbed TLS
# (OBJECTS/core, OBJECTS/mbedtls, with gcc's .su files). Fails on a frame above the limit.
#
# flash: code and constants. "libc" is picolibc, libgcc and what stands in for the mask ROM, "board"
# the port in QEMU with its simulated world, which no chip carries; what the units hold (the
# image's, and struct lk_app) has a column of its own. heap: what is left.
set -euo pipefail
frame=512
objects=$1
shift

printf '%-16s | %7s %7s %7s %7s | %7s %7s %7s %7s | %7s\n' bytes core mbedtls libc board data state board-ram stack heap
for map in "$@"; do
	awk -v role="$(basename "$map" .map)" '
		function hex(s,   i, n) {
			for (i = 3; i <= length(s); i++) n = 16 * n + index("0123456789abcdef", substr(s, i, 1)) - 1
			return n
		}
		function section(name, addr, size, file,   n, of) {
			n = hex(addr) == 0 ? 0 : hex(size)
			of = file ~ /libmbedtls/ ? "mbedtls" : file ~ /libcore|\/image\// ? "core" : file ~ /libc\.a|libgcc\.a|romfuncs/ ? "libc" : "board"
			if (name ~ /^\.(text|literal|rodata|data)/) flash[of] += n
			if (name ~ /^\.(data|bss)/) {
				if (name == ".bss.app" || file ~ /\/image\//) state += n
				else if (of == "board") board += n
				else data += n
			}
		}
		/^Linker script and memory map/ { on = 1 }
		!on { next }
		/^ \.[^ ]+$/ { long = $1; next } # a section whose long name has a line of its own
		/^ \.[^ ]+ +0x[0-9a-f]+ +0x[0-9a-f]+ / { section($1, $2, $3, $4) }
		/^ +0x[0-9a-f]+ +0x[0-9a-f]+ / && long != "" { section(long, $1, $2, $3) }
		/ __heap_size = / { heap = hex($1) }
		/ __stack_size = / { stack = hex($1) }
		{ long = "" }
		END {
			printf "%-16s | %7d %7d %7d %7d | %7d %7d %7d %7d | %7d\n", role, flash["core"], flash["mbedtls"], flash["libc"], flash["board"], \
				data, state, board, stack, heap
		}' "$map"
done

echo "largest stack frames:"
find "$objects"/{core,image,mbedtls} -name '*.su' -exec cat {} + | awk -F '\t' -v limit=$frame '
	{ n = split($1, at, ":"); sub(/.*\//, "", at[1]); frames[at[1] ":" at[n]] = $2; if ($3 !~ /static/ ) loose = loose " " at[n] }
	END {
		if (n == 0) { print "no frames found"; exit 1 }
		for (f in frames) printf "%6d %s\n", frames[f], f | "sort -rn | head"
		close("sort -rn | head")
		if (loose != "") { print "frames without a bound:" loose; bad = 1 }
		for (f in frames) if (frames[f] > limit) { print f ": " frames[f] " bytes, the limit is " limit; bad = 1 }
		exit bad
	}'
