#!/bin/bash
# smoke.sh RUN ELF: runs the smoke test in QEMU and checks what it prints and how it ends. Every
# wait has a bound.
set -uo pipefail
run=$(realpath "$1") elf=$(realpath "$2")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
checks=0 failed=0

check() { # WHAT [-a of test…]
	local what=$1
	shift
	checks=$((checks + 1))
	if ! test "$@"; then
		failed=$((failed + 1))
		echo "qemu smoke: $what: failed: $*" >&2
	fi
}

start() { # ARGS of the image
	coproc node { exec timeout 60 "$run" "$elf" self 0 "$@"; }
	pid=$node_PID count=0 word=
	# Bash closes its own descriptors as soon as the process ends, even with unread data in them.
	exec {in}>&"${node[1]}"- {out}<&"${node[0]}"-
	until_line "log boot*"
}

send() { printf '%s\n' "$@" >&"$in"; }

# until_line PATTERN reads until a line matches; PATTERN is without the count before the line. Sets
# count, line and word, the last word of that line.
until_line() {
	while read -r -t 30 count line <&"$out"; do
		word=${line##* }
		# shellcheck disable=SC2053
		[[ $line == $1 ]] && return
		lines+=("$count $line")
	done
	check "a line like '$1'" "the end" = "$1"
}

expect_end() { # STATUS: waits for the end of the output, and checks the exit status
	lines=()
	while read -r -t 30 line <&"$out"; do lines+=("$line"); done
	wait "$pid"
	check "exit status" $? = "$1"
}

log() { # LETTER WANT…: sends the letter and expects these log lines, each with text and number
	send "$1"
	shift
	for want in "$@"; do
		until_line "log *"
		check "log" "$line" = "log $want"
	done
}

stat() { # NAME: sets word to its value in the stat line
	send '!stat'
	until_line "stat *"
	word=${line##* $1=}
	word=${word%% *}
}

lines=()
start
check "boot by power" "$word" = 0
log a "sums wrong 0"
log h "joined 1" "dirty 0" "beyond memory 0" "beyond numbers 0" "above the limit 0" "kept 0"
log m "200 bytes 1"
send '!oom 300'
log m "200 bytes 0"
send '!oom 0'
log m "200 bytes 1"
stat heap
check "the heap holds what was asked for" "$word" = 400
stat arena
check "the allocator takes little more" "$word" -ge 400 -a "$word" -lt 900
log u "none open 0" "opened 0" "length 5" "other 0" "length 8" "other 0" "more 0" "left over 0" "left over 0" "left over 0" "left over 0"
log t "as long as asked 1"
stat stack
before=$word
log s "stack before $before"
stat stack
check "the stack's mark rises with 3000 bytes" "$word" -ge 3000 -a "$word" -lt $((3000 + before))
send i
until_line "log loop *"
check "2000 rounds of 18 instructions" "$word" -ge 36000 -a "$word" -lt 36100
for want in "interrupts 3000" "changed 0" "miscounted 0"; do
	until_line "log *"
	check "log" "$line" = "log $want"
done
send p
log c "rtc 165" "rtc set 0"
check "a line of the board begins a line" "${lines[-1]}" = "half a line"
send z
until_line "sleep 60000"
expect_end 0

start
check "boot by waking up" "$word" = 3
log c "rtc 7" "rtc set 0"
send r
until_line "reset restart"
expect_end 3

start
check "boot by reset" "$word" = 1
log c "rtc 165" "rtc set 0"
printf old >kv/half
printf 'newXXXX' >kv/half.new
printf old >kv/whole
printf 'renewed' >kv/whole.new
h=2166136261
for c in r e n e w e d; do h=$((((h ^ $(printf %d "'$c")) * 16777619) & 0xFFFFFFFF)); done
for i in 0 8 16 24; do printf "\\x$(printf %02x $((h >> i & 255)))" >>kv/whole.new; done
log k "unknown 0" "set 0" "got 5" "other 0" "short 1" "long name 1" "removed 0" "gone 0" "half 3" "whole 7"
check "a value that was whole when the process ended" "$(cat kv/whole)" = renewed
check "is settled" ! -s kv/whole.new
send o
until_line "output 1 300"
from=${EPOCHREALTIME/./}
until_line "output 0 0"
took=$(((${EPOCHREALTIME/./} - from) / 1000))
check "a pulse of 300 ms ends in a waiting loop" "$took" -ge 280 -a "$took" -lt 2000
send o
until_line "output 1 300"
exec {in}>&-
until_line "output 0 0"
expect_end 0

# While the loop hangs, the pulse and the watchdog count instructions: 31,250 are a millisecond.
start
send o
until_line "output 1 300"
on=$count
send '!hang'
until_line "output 0 0"
check "a pulse ends though the loop hangs" $((count - on)) -gt 5000000 -a $((count - on)) -lt 9400000
until_line "reset watchdog"
check "the watchdog bites after 5 s" $((count - on)) -gt 150000000 -a $((count - on)) -lt 156300000
expect_end 4

start
check "boot by the watchdog" "$word" = 2
send o
until_line "output 1 300"
send '!unaligned'
until_line "output 0 0"
until_line "fault 9 *"
expect_end 99

start power
check "boot as the argument says" "$word" = 0
send '!no such thing'
until_line "no such line of the world"
expect_end 2

# Each run counts the same instructions, however long its waits took.
rm -f boot
for i in 1 2 3; do
	lines=()
	start
	send w
	until_line "log worked 4"
	all[i]="${lines[*]} $count"
	exec {in}>&-
	expect_end 0
done
check "each run counts the same" "${all[1]}" = "${all[2]}" -a "${all[1]}" = "${all[3]}"
# The count has the work in it, and not only the waits.
check "and what it counts is the work" "${all[1]##* }" -gt 90000 -a "${all[1]##* }" -lt 100000

echo "qemu smoke: $checks checks, $failed failed"
test $failed = 0
