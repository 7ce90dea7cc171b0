#!/bin/sh
# Installs llama-cpp-python, a rival of bench/int4, built for this CPU from the source that its authors publish.
#
#	bench/peers/llama.sh bench/.venv/bin/python
#
# Two lines differ from that source. gcc 12 drops the stores to the tile configuration of AMX, so that llama.cpp crashes
# where a CPU has it: they are held by an empty asm. And its examples' common library is not built: nothing here uses it.
set -eu
python=$1
version=0.3.36
sum=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$python" -m pip download --quiet --no-deps --no-binary :all: --dest "$dir" "llama-cpp-python==$version"
echo "$sum  $dir/llama_cpp_python-$version.tar.gz" | sha256sum --check --quiet
tar -xzf "$dir/llama_cpp_python-$version.tar.gz" -C "$dir"
src=$dir/llama_cpp_python-$version
sed -i 's|^    _tile_loadconfig(&tc);|    asm volatile("" : : "r"(\&tc) : "memory");\n&|' "$src/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp"
sed -i 's|set(LLAMA_BUILD_COMMON ON|set(LLAMA_BUILD_COMMON OFF|' "$src/CMakeLists.txt"
CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) \
	CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF" \
	"$python" -m pip install --quiet --no-deps --force-reinstall "$src"
