#!/bin/sh
# Sets up this checkout, and every module folder named as an argument, for plain `go build`, `go run` and `go test`:
#
#	[LIBTORCH=DIR] [CUDA=1] scripts/setup.sh [MODULE-DIR ...]
#
# What it does and why is told in scripts/setup/doc.go.
set -eu
if ! command -v go >/dev/null 2>&1; then
	echo "setup: Go is missing: install Go 1.26 or newer and put it on PATH" >&2
	exit 1
fi
from=$PWD
cd "$(dirname "$0")/.."
# An old go.work must not stop the program that rewrites it, and cgo may not work yet.
GOWORK=off CGO_ENABLED=0 exec go run ./scripts/setup -from "$from" "$@"
