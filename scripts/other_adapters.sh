#!/bin/sh
# Runs the tests of kernels and of training on every software adapter that can be had: lavapipe with 256 and
# with 512 bits, its OpenGL, and SwiftShader, which is as limited as a browser: no halves, no more than 256
# threads, few bindings, which start at multiples of 256 bytes. Then compiles every shader text with Tint.
#
# Lavapipe takes kernels compiled for other registers out of its cache as its own, so each width has a cache.
#
# SwiftShader is taken from Debian's package of Chromium, unpacked and not installed. Tint comes with the npm
# package `webgpu` and needs no adapter; without npm that part says so and fails.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
folder=target/other_adapters
mkdir -p "$folder"

say() { printf '\n=== %s\n' "$*"; }

tests() {
    "$CARGO" test --quiet --test ops_on_device --test matmul_variants --test halves --test training --test sequences \
        --test uniforms --test thrift --test chunks --test recompute --test segments --test textures
}

swiftshader() {
    icd=$(find "$folder/chromium" -name vk_swiftshader_icd.json 2>/dev/null | head -n 1)
    if [ -z "$icd" ]; then
        (cd "$folder" && apt-get download -qq chromium-common && dpkg-deb -x chromium-common_*.deb chromium)
        icd=$(find "$folder/chromium" -name vk_swiftshader_icd.json | head -n 1)
    fi
    printf '%s/%s' "$PWD" "$icd"
}

of_width() {
    mkdir -p "$folder/kernels_$1"
    LP_NATIVE_VECTOR_WIDTH=$1 MESA_SHADER_CACHE_DIR=$PWD/$folder/kernels_$1 tests
}

say 'lavapipe, 256 bits'
of_width 256
if grep -q avx512f /proc/cpuinfo; then
    say 'lavapipe, 512 bits'
    of_width 512
fi
say 'lavapipe, OpenGL'
WGPU_BACKEND=gl tests
say 'SwiftShader'
icd=$(swiftshader)
VK_ICD_FILENAMES=$icd VK_DRIVER_FILES=$icd tests
say 'Tint'
rm -rf "$folder/texts"
"$CARGO" run --quiet --example shader_texts -- "$folder/texts"
cp scripts/tint/package.json scripts/tint/check.mjs "$folder"
(cd "$folder" && npm install --silent --no-audit --no-fund && node check.mjs texts)
say 'all passed'
