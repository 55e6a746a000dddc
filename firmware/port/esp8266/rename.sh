#!/bin/sh
# rename.sh MBEDTLS HEADER [CC]: writes to HEADER a #define for each global name that our Mbed TLS
# has, so that it can stand beside the SDK's older one in one image. CC compiles it as the image
# will, since what is global can depend on the chip.
set -eu

mbedtls=$1 header=$2 cc=${3:-cc}
core=$(cd "$(dirname "$0")/../../core" && pwd)
case $cc in
*gcc) nm=${cc%gcc}nm ;;
*) nm=nm ;;
esac
# In full: Mbed TLS has a file of the same name, and that one would be found first.
config="\"$core/mbedtls_config.h\""
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for f in "$mbedtls"/library/*.c; do
	"$cc" -w -c -I"$mbedtls/include" -DMBEDTLS_CONFIG_FILE="$config" -o "$tmp/$(basename "$f" .c).o" "$f"
done
mkdir -p "$(dirname "$header")"
{
	echo '/* Made by rename.sh. */'
	echo '#undef MBEDTLS_CONFIG_FILE'
	echo "#define MBEDTLS_CONFIG_FILE $config"
	"$nm" -g --defined-only "$tmp"/*.o | awk 'NF == 3 { print $3 }' | sort -u | sed 's/.*/#define & lk_&/'
} >"$tmp/rename.h"
# A header with nothing in it would let the linker mix the two.
grep -q '^#define mbedtls_ssl_handshake ' "$tmp/rename.h" || { echo "rename.sh: no Mbed TLS in $mbedtls" >&2; exit 1; }
cmp -s "$tmp/rename.h" "$header" || mv "$tmp/rename.h" "$header"
