#!/bin/sh
# Runs the targets, or those that are named, each for so many seconds: fuzz/run.sh 60 [TARGET...]
# With FUZZ_LOGS=FOLDER the last lines of each run, with the number of executions, are kept there.
set -eu
cd "$(dirname "$0")/.."
seconds=$1
shift
for target in ${*:-$(cargo +nightly fuzz list)}; do
    mkdir -p "fuzz/corpus/$target"
    status=0
    # -rss_limit_mb makes memory without bound a finding, -timeout an input that takes seconds.
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        "-max_total_time=$seconds" -rss_limit_mb=1024 -timeout=20 -max_len=32768 -print_final_stats=1 > "fuzz/$target.log" 2>&1 || status=$?
    tail -n 40 "fuzz/$target.log" | grep -E '^stat::|^Done|SUMMARY|panicked|Test unit written|ERROR' || tail -n 20 "fuzz/$target.log"
    [ -z "${FUZZ_LOGS:-}" ] || cp "fuzz/$target.log" "$FUZZ_LOGS/"
    [ "$status" -eq 0 ] || { echo "$target: a finding, above and in fuzz/artifacts/$target" >&2; exit "$status"; }
done
