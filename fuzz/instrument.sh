#!/usr/bin/env bash
# Stands before rustc: adds the counters that libFuzzer steers by to keytrail and to the checks, and
# to nothing else, so that what keytrail depends on is built once for tests and fuzzing.
#
# The flags are those of cargo-fuzz without a sanitizer; keytrail has no unsafe code for one to watch.
set -euo pipefail
case " $* " in
    *" --crate-name keytrail "* | *" --crate-name keytrail_fuzz "*)
        exec "$@" --cfg fuzzing -Cpasses=sancov-module \
            -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
            -Cllvm-args=-sanitizer-coverage-pc-table \
            -Cllvm-args=-sanitizer-coverage-trace-compares \
            -Ccodegen-units=1
        ;;
    *) exec "$@" ;;
esac
