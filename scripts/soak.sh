#!/usr/bin/env bash
# What takes too long for every change: fuzzing of everything that is read, then the tests that run
# only here (KEYTRAIL_SOAK=1). `make soak` runs it all.
#
#   FUZZ_SECONDS   a fuzz target ends when it found nothing new for so long (default 60) …
#   FUZZ_MOST      … or after so many seconds in all (default 600)
#   FUZZ_TARGETS   which ones (default: all)
#   KEEP           a folder that gets 50 inputs of each target, spread over the sizes of what it found
#                  once minimised (default: nowhere)
set -euo pipefail
cd "$(dirname "$0")/.."
quiet=${FUZZ_SECONDS:-60} most=${FUZZ_MOST:-600}
targets=${FUZZ_TARGETS:-"split open classify normalize cloudhsm inventory canonical report declared rules"}
work=fuzz/corpus found=fuzz/artifacts failed=()

section() { printf '\n== %s\n' "$*"; }

# Builds the targets beside keytrail's own build: only keytrail itself is built anew, with counters.
build() {
    local features=${1:-engine} folder
    folder=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$folder}
    RUSTC_WRAPPER="$PWD/fuzz/instrument.sh" cargo build --locked --manifest-path fuzz/Cargo.toml \
        --features "$features" --bins
    bins=$CARGO_TARGET_DIR/debug
}

# Puts what is known to be read (its first 20,000 bytes: what writes the rest may be told that nobody
# listens), each behind the byte that chooses among settings, into the folder
# that a target starts from.
seeds() {
    local target=$1 into=$work/$1 setting=$2 file
    shift 2
    for file in "$@"; do
        [[ -f "$file" ]] || continue
        { printf '%b' "$setting"; if [[ "$target" != open && "$file" == *.gz ]]; then gzip -dc "$file"; else cat "$file"; fi; } \
            | head -c 20000 >"$into/seed-$(sha256sum <<<"$setting$file" | head -c 16)" || true
    done
}

start() {
    local target=$1
    mkdir -p "$work/$target" "$found/$target"
    [[ -d fixtures/fuzz/$target ]] && cp -r "fixtures/fuzz/$target/." "$work/$target/"
    shopt -s globstar nullglob
    local records=(fixtures/events/*/*) logs=(fixtures/demo/**/*.gz fixtures/demo/*/*.json fixtures/demo/**/*.jsonl)
    local inventory=(fixtures/demo/**/inventory/**/*.json fixtures/demo/**/inventory/*.json)
    case "$target" in
        split | open) seeds "$target" '\0' "${records[@]}" "${logs[@]}" "${inventory[@]}" ;;
        classify) seeds "$target" '\0' "${records[@]}" "${inventory[@]}" ;;
        cloudhsm) seeds "$target" '\0' fixtures/events/cloudhsm_audit/* fixtures/demo/aws/cloudhsm/*/*.log.gz ;;
        inventory) seeds "$target" '\0' "${inventory[@]}" ;;
        canonical) seeds "$target" '' "${records[@]}" ;;
        normalize)
            local setting=0 format
            for format in cloudtrail cloudhsm_audit cloudhsm_certificates gcp_audit azure_activity \
                azure_activity_export azure_keyvault azure_cloudhsm; do
                seeds "$target" "\\x0$setting" fixtures/events/$format/*
                setting=$((setting + 1))
            done
            ;;
        rules) seeds "$target" '' rules/**/*.sql ;;
        declared) seeds "$target" '' fixtures/demo/**/*.toml fixtures/demo/**/*.csv ;;
    esac
    shopt -u globstar nullglob
}

# Puts some of what a target found aside, small and large.
keep() {
    local target=$1 merged step
    merged=$(mktemp -d)
    "$bins/$target" -merge=1 -max_len=2000 "$merged" "$work/$target" >/dev/null 2>&1
    rm -rf "${KEEP:?}/$target" && mkdir -p "$KEEP/$target"
    step=$(($(ls "$merged" | wc -l) / 50 + 1))
    ls -S "$merged" | awk -v step="$step" 'NR % step == 0' | while read -r name; do
        cp "$merged/$name" "$KEEP/$target/"
    done
    rm -rf "$merged"
}

# One target, in stretches: as long as a stretch finds something new, another follows.
fuzz() {
    local target=$1 began=$SECONDS runs=0 before after log
    log=$(mktemp)
    start "$target"
    while :; do
        before=$(ls "$work/$target" | wc -l)
        if ! "$bins/$target" "$work/$target" -max_total_time="$quiet" -rss_limit_mb=1024 -timeout=20 \
            -max_len=20000 -dict=fuzz/dictionary.txt -artifact_prefix="$found/$target/" \
            -print_final_stats=1 >"$log" 2>&1; then
            tail -n 40 "$log"
            failed+=("$target")
            break
        fi
        runs=$((runs + $(awk '/stat::number_of_executed_units/ { print $2 }' "$log")))
        after=$(ls "$work/$target" | wc -l)
        ((after > before && SECONDS - began + quiet <= most)) || break
    done
    awk -v target="$target" -v runs="$runs" -v seconds="$((SECONDS - began))" '
        match($0, /cov: [0-9]+/) { cov = substr($0, RSTART + 5, RLENGTH - 5) }
        match($0, /ft: [0-9]+/) { ft = substr($0, RSTART + 4, RLENGTH - 4) }
        match($0, /rss: [0-9]+Mb/) { rss = substr($0, RSTART + 5, RLENGTH - 5) }
        END { printf "%-10s %10d runs %6d edges %7d features %7s %5d s\n", target, runs, cov, ft, rss, seconds }' "$log"
    if [[ -n "${KEEP:-}" ]]; then keep "$target"; fi
    rm -f "$log"
}

section "fuzzing: every target until it finds nothing new for $quiet s, at most $most s"
build "${FUZZ_FEATURES:-engine}"
for target in $targets; do
    fuzz "$target"
done
if ((${#failed[@]})); then
    echo "error: broken promises in ${failed[*]}; the inputs are in $found" >&2
    exit 1
fi
[[ -n "${FUZZ_ONLY:-}" ]] && exit 0

section "kills, concurrent writers and long runs"
KEYTRAIL_SOAK=1 cargo test --locked --test it -- --nocapture crash polls

section "what a store costs as it grows, and what maintenance gives back"
nice cargo build --locked --release --quiet
program=${CARGO_TARGET_DIR:-target}/release/keytrail
python3 benches/curve.py "$program" "${CARGO_TARGET_DIR:-target}/curve" "${CURVE_EVENTS:-10000000}"
KEYTRAIL=$program scripts/many-commits.sh

section "catching up over a trail's bucket"
.peers/servers benches/catch_up.py "$program" "${CATCH_UP_OBJECTS:-10000}" "${CATCH_UP_RECORDS:-1000000}"
