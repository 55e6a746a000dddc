#!/bin/sh
# reproducible.sh: builds the same release in two folders, the second with an empty build cache, and
# compares the bytes. ARCH (amd64) says for which machine.
set -eu

arch=${ARCH:-amd64} version=v0.0.0-reproducible released=2037-01-02T03:04:05Z
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

build() { # FOLDER
	mkdir -p "$1"
	git ls-files -z -c -o --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null | tar -x -C "$1"
	make -s -C "$1" GO="${GO:-go}" VERSION=$version RELEASED=$released "release-$arch"
}
build "$tmp/one"
GOCACHE=$tmp/cache build "$tmp/another/one"

one=$tmp/one/bin/release/latchkey-linux-$arch
another=$tmp/another/one/bin/release/latchkey-linux-$arch
sha256sum "$one" "$another" | sed "s|$tmp/||"
cmp "$one" "$another"
if [ "$arch" = "$(${GO:-go} env GOHOSTARCH)" ]; then # this machine can run it: check the release that it reports
	"$one" version | grep -F "latchkey $version "
	"$one" version --json | grep -qF "\"built\":\"$released\""
fi
