#!/usr/bin/env bash
# Stands in for rustdoc: where cargo runs doc tests, it builds the documentation too, warnings as
# errors, from the very artefacts that the tests use.
set -euo pipefail
rustdoc=$(rustc --print sysroot)/bin/rustdoc
build=() tests=false skip=false
for argument in "$@"; do
    if $skip; then skip=false; continue; fi
    case "$argument" in
        --test) tests=true ;;
        --test-run-directory | --test-args | --test-builder | --test-builder-wrapper \
            | --persist-doctests | --test-runtool | --test-runtool-arg | --doctest-build-arg) skip=true ;;
        --test-* | --doctest-* | --no-run | --no-capture | --nocapture) ;;
        *) build+=("$argument") ;;
    esac
done
if $tests; then
    pages=$(mktemp -d)
    trap 'rm -rf "$pages"' EXIT
    "$rustdoc" "${build[@]}" -D warnings --out-dir "$pages"
fi
"$rustdoc" "$@"
