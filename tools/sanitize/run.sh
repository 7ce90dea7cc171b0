#!/bin/sh
# Our C under sanitizers: pkg/int4 with a program of its own under address, undefined-behaviour and thread sanitizers,
# internal/native with its Go tests under the same. Nothing of libtorch is built.
set -eu
cd "$(dirname "$0")/../.."
CC=${CC:-gcc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# int4 NAME FLAGS: every kernel, the emulated ones too.
int4() {
	name=$1
	shift
	mkdir "$tmp/$name"
	for f in pkg/int4/*.c pkg/int4/emulated/*.c internal/native/pool.c internal/native/product.c internal/native/transform.c tools/sanitize/int4.c; do
		include=pkg/int4
		case $f in pkg/int4/emulated/*) include=pkg/int4/emulated/include ;; esac
		echo "$f $tmp/$name/$(echo "$f" | tr / _).o $include"
	done | xargs -L 1 -P "$(nproc)" sh -c "$CC -c -O1 -g -Wall -Wno-psabi $* -I\$2 -Ipkg/int4 -Iinternal/native \$0 -o \$1"
	$CC "$@" "$tmp/$name"/*.o -lm -lpthread -o "$tmp/$name/run"
	echo "== pkg/int4: $name"
	"$tmp/$name/run"
}

int4 address -fsanitize=address,undefined -fno-sanitize-recover=all
int4 thread -fsanitize=thread

echo "== internal/native: address"
go test -count=1 -asan ./internal/native/...
for kind in undefined thread; do
	echo "== internal/native: $kind"
	CGO_CFLAGS="-O1 -g -fsanitize=$kind -fno-sanitize-recover=all" CGO_LDFLAGS="-fsanitize=$kind" go test -count=1 ./internal/native/...
done
