#!/bin/bash
# mbedtls.sh DIR: puts the source of Mbed TLS into DIR/mbedtls, once.
#
# It is Debian's source package, fetched by apt from the machine's own Debian mirror and checked
# against a pinned sum. apt works in folders of its own under DIR, so the machine's sources and
# lists stay as they are. Needs no root.
set -euo pipefail

suite=trixie version=3.6.6
sum=8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a
dir=$(realpath -m "$1") stamp=$version-$sum

if [ "$(cat "$dir/mbedtls/.complete" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

fail() { echo "mbedtls: $1" >&2; exit 1; }

command -v apt-get >/dev/null || fail "no apt-get here; put the source of Mbed TLS $version into $dir/mbedtls and '$stamp' into its file .complete"

# The first Debian archive among the machine's sources, as a deb-src entry for the suite we want,
# with the key it is signed by: a file's name or the key itself. Both of apt's formats are read:
# blocks of fields (.sources), and lines (.list).
entry() {
	printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$1" "$suite"
	if [ -n "$2" ]; then printf 'Signed-By: %s\n' "$2"; fi
}
find_entry() {
	local f found
	for f in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -f "$f" ] || continue
		case $f in
		*.sources) found=$(awk -v FS='\n' -v RS= '{
			split("", f); key = ""
			for (i = 1; i <= NF; i++) {
				if ($i ~ /^#/) continue
				if ($i ~ /^[ \t]/) { f[key] = f[key] "\n" $i; continue }
				key = tolower($i); sub(/:.*/, "", key); v = $i; sub(/^[^:]*:[ \t]*/, "", v); f[key] = v
			}
			if ((f["types"] " ") !~ /deb[ \n]/ || (" " f["components"] " ") !~ /[ \n]main[ \n]/ || tolower(f["enabled"]) == "no") next
			n = split(f["uris"], u, /[ \n\t]+/)
			for (i = 1; i <= n; i++) if (u[i] ~ /\/debian(\/|\.list)?$/) { print u[i] "\n" f["signed-by"]; exit }
		}' "$f") ;;
		*) found=$(awk '$1 == "deb" && / main( |$)/ {
			key = ""
			if (match($0, /signed-by=[^] ,]+/)) key = substr($0, RSTART + 10, RLENGTH - 10)
			sub(/\[[^]]*\]/, "")
			if ($2 ~ /\/debian(\/|\.list)?$/) { print $2 "\n" key; exit }
		}' "$f") ;;
		esac
		if [ -n "$found" ]; then
			entry "$(head -1 <<<"$found")" "$(tail -n +2 <<<"$found")"
			return
		fi
	done
	fail "no Debian archive among the sources of apt (a URI that ends in /debian, with component main)"
}

rm -rf "$dir/mbedtls" "$dir/mbedtls.new" "$dir/apt"
mkdir -p "$dir/apt/parts" "$dir/apt/lists/partial" "$dir/apt/cache/partial" "$dir/mbedtls.new"
find_entry >"$dir/apt/parts/$suite.sources"

opts=(-q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$dir/apt/parts" -o "Dir::State::lists=$dir/apt/lists"
	-o "Dir::Cache=$dir/apt/cache" -o "Dir::Cache::archives=$dir/apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none
	-o Acquire::Retries=3)
apt-get "${opts[@]}" update >"$dir/apt/log" 2>&1 || { cat "$dir/apt/log" >&2; fail "apt cannot read suite $suite of this machine's Debian archive"; }

# A Debian revision (3.6.6-1, -0.1~deb13u1) changes what Debian adds, not the tarball; the sum below
# decides.
have=$(apt-cache "${opts[@]}" showsrc --only-source mbedtls 2>/dev/null | sed -n 's/^Version: //p' | sort -uV | paste -sd ' ')
want=$(tr ' ' '\n' <<<"$have" | grep -F "$version-" | tail -1) || true
[ -n "$want" ] || fail "suite $suite has mbedtls ${have:-not at all}, not $version any more: pin the new version and its sum in firmware/mbedtls.sh"
(cd "$dir/apt/cache" && apt-get "${opts[@]}" source --download-only --only-source "mbedtls=$want") >"$dir/apt/log" 2>&1 ||
	{ cat "$dir/apt/log" >&2; fail "apt cannot fetch the source of mbedtls $want"; }

tar=$(find "$dir/apt/cache" -maxdepth 1 -name "mbedtls_$version.orig.tar.*" ! -name '*.asc' | head -1)
[ -n "$tar" ] || fail "mbedtls $want came without its orig tarball"
got=$(sha256sum "$tar" | cut -d' ' -f1)
[ "$got" = "$sum" ] || fail "the tarball of mbedtls $want has sha256 $got, not $sum: not used"
tar -xf "$tar" -C "$dir/mbedtls.new" --strip-components=1
echo "$stamp" >"$dir/mbedtls.new/.complete"
mv "$dir/mbedtls.new" "$dir/mbedtls"
rm -rf "$dir/apt"
