#!/usr/bin/env bash
# Runs a cargo command with clippy as the compiler of this package, warnings as errors, and with
# rustdoc's own lints beside the doc tests.
#
# `cargo clippy` and `cargo doc` each want metadata of every dependency, a second pass over hundreds
# of crates; this way lints, tests and documentation share one build of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
driver=$(rustc --print sysroot)/bin/clippy-driver
[[ -x "$driver" ]] || { echo "error: clippy is missing
hint: rustup component add clippy" >&2; exit 1; }
export RUSTC_WORKSPACE_WRAPPER="$driver"
export CLIPPY_ARGS="-Dwarnings__CLIPPY_HACKERY__"
export RUSTDOC="$here/rustdoc.sh"
exec "$@"
