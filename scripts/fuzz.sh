#!/bin/sh
# Builds the fuzz targets of fuzz/ with plain cargo and the flags that cargo-fuzz would pass, and runs each.
#
#   FUZZ_SECONDS  how long each runs (10)
#   FUZZ_TARGETS  which are run (all of them)
#   FUZZ_JOBS     how many run at a time (as many as there are processors)
#   FUZZ_SEED     begins with the committed seeds alone and this number, so that the cases are the same each
#                 time; left out, what earlier runs found is gone on with
set -eu
cd "$(dirname "$0")/../fuzz"

seconds=${FUZZ_SECONDS:-10}
seed=${FUZZ_SEED:-}
targets=${FUZZ_TARGETS:-$(ls fuzz_targets | sed 's/\.rs$//')}
jobs=${FUZZ_JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
host=$(rustc -vV | sed -n 's/^host: //p')
# A folder that is named for all builds is not for these, which have flags of their own.
export CARGO_TARGET_DIR=target

run_one() {
    name=$1
    case $name in
    config | plan) words=config ;;
    csv | pack) words=csv ;;
    npy | npz) words=npy ;;
    *) words=json ;;
    esac
    found=target/corpus/$name
    [ -z "$seed" ] || found=$(mktemp -d)
    mkdir -p "$found" "artifacts/$name" target/logs
    # Files that a target needs lie in memory, where that can be.
    FUZZ_FOLDER=$([ -d /dev/shm ] && mktemp -d -p /dev/shm || mktemp -d)
    export FUZZ_FOLDER
    log=target/logs/$name.txt
    status=0
    "target/$host/release/$name" -seed="${seed:-0}" -max_total_time="$seconds" -timeout=20 \
        -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
        -dict="dictionaries/$words.dict" -artifact_prefix="artifacts/$name/" "$found" "corpus/$name" \
        >"$log" 2>&1 || status=$?
    [ -z "$seed" ] || rm -r "$found"
    rm -r "$FUZZ_FOLDER"
    cases=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
    last=$(grep -o 'cov: [0-9]* ft: [0-9]*' "$log" | tail -n 1)
    printf '%-12s %9s cases in %s s, %s\n' "$name" "${cases:-?}" "$seconds" "$last"
    [ "$status" -eq 0 ] && return
    tail -n 40 "$log"
    printf 'fuzz: %s failed. Again: %s FILE, FILE the artifact above.\n' "$name" \
        "fuzz/target/$host/release/$name"
    return 1
}

if [ "${1:-}" = --one ]; then
    run_one "$2"
else
    # LLVM's coverage, which libFuzzer is led by. With --target, build scripts and macros do without.
    flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 --cfg fuzzing'
    for part in inline-8bit-counters pc-table trace-compares; do
        flags="$flags -Cllvm-args=-sanitizer-coverage-$part"
    done
    RUSTFLAGS="$flags" CARGO_INCREMENTAL=0 "${CARGO:-cargo}" build --quiet --locked --release --target "$host"
    # shellcheck disable=SC2086 # a list of words
    printf '%s\n' $targets | xargs -P "$jobs" -n 1 sh "../scripts/fuzz.sh" --one
fi
