#!/bin/sh
# Compiles the library and the command line for Windows and macOS, as far as that goes without their linkers, and lets
# clippy deny warnings. Nothing is run, and the tests are left out: criterion's C code would need a compiler for each
# system. Each target takes a minute or two the first time.
#
#   TARGETS  which are compiled (x86_64-pc-windows-gnu aarch64-apple-darwin)
#
# Needs the standard library of each, which is not fetched without being asked: `rustup target add TARGET`.
set -eu
cd "$(dirname "$0")/.."

for target in ${TARGETS:-x86_64-pc-windows-gnu aarch64-apple-darwin}; do
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] || {
        printf 'targets: there is no standard library for %s; `rustup target add %s` fetches it\n' \
            "$target" "$target" >&2
        exit 1
    }
    printf 'targets: %s\n' "$target"
    "${CARGO:-cargo}" clippy --quiet --locked --workspace --lib --bins --target "$target" -- --deny warnings
done
