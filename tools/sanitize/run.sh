#!/bin/sh
# Our C under sanitizers: pkg/int4, pkg/int8 and internal/native/lattice with programs of their own under address,
# undefined-behaviour and thread sanitizers, internal/native with its Go tests under the same. Nothing of libtorch is built.
set -eu
cd "$(dirname "$0")/../.."
CC=${CC:-gcc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# kernels PACKAGE KIND FLAGS: every kernel of PACKAGE, the emulated ones too.
kernels() {
	package=$1 kind=$2 to=$tmp/$(basename $1)-$2
	shift 2
	mkdir "$to"
	for f in $package/*.c $package/emulated/*.c internal/native/memory.c internal/native/pool.c internal/native/product.c internal/native/transform.c tools/sanitize/$(basename $package).c; do
		test -e "$f" || continue
		include=$package
		case $f in $package/emulated/*) include=$package/emulated/include ;; esac
		echo "$f $to/$(echo "$f" | tr / _).o $include"
	done | xargs -L 1 -P "$(nproc)" sh -c "$CC -c -O1 -g -Wall -Wno-psabi $* -I\$2 -I$package -Iinternal/native \$0 -o \$1"
	$CC "$@" "$to"/*.o -lm -lpthread -o "$to/run"
	echo "== $package: $kind"
	"$to/run"
}

for package in pkg/int4 pkg/int8 internal/native/lattice; do
	kernels $package address -fsanitize=address,undefined -fno-sanitize-recover=all
	kernels $package thread -fsanitize=thread
done

echo "== internal/native: address"
go test -count=1 -asan ./internal/native/...
# native KIND PACKAGES
native() {
	kind=$1
	shift
	echo "== internal/native: $kind"
	CGO_CFLAGS="-O1 -g -fsanitize=$kind -fno-sanitize-recover=all" CGO_LDFLAGS="-fsanitize=$kind" go test -count=1 "$@"
}
native undefined ./internal/native/...
native thread ./internal/native # adamw's threads are OpenMP's, whose synchronization this sanitizer does not see
