#!/usr/bin/env bash
# A long evaluation under `kill -9`: 10,000 images of MNIST with a cheap setting, killed every 30 seconds and gone on with until it is
# whole, twice. The lines have to be, byte for byte, those of a run that nothing stopped. Prints seconds, kills and the peak of memory.
#
#   tests/soak/eval.sh [FOLDER]
#
# Environment: RIPOSTE (the program; default: what cargo built in the workspace), IMAGES, EVERY (seconds between kills), TIMES, SETTINGS
# (flags of `riposte eval`), and RIPOSTE_DATA as for the program.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
program=${RIPOSTE:-$root/target/release/riposte}
folder=${1:-$(mktemp -d)}
images=${IMAGES:-10000} every=${EVERY:-30} times=${TIMES:-2}
settings=${SETTINGS:---dataset mnist --model mnist-robust --device cpu --attack pgd --steps 5 --step-size 0.1 --natural off --riposte fast \
--search-steps 3 --post-iterations 4 --post-batch-size 16}
mkdir -p "$folder"
rm -f "$folder/whole.jsonl"

# Runs until its end, or for so many seconds; prints the exit code and the most kilobytes that it had.
run() { # out, seconds
    local peak=0 now begin=$SECONDS code=0
    # shellcheck disable=SC2086 # Flags are words.
    "$program" eval $settings --images "$images" --out "$1" >"$1.txt" 2>"$1.log" &
    local child=$!
    while kill -0 "$child" 2>/dev/null; do
        now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$child/status" 2>/dev/null || true)
        [ "${now:-0}" -le "$peak" ] || peak=$now
        if [ $((SECONDS - begin)) -ge "$2" ]; then
            kill -9 "$child" 2>/dev/null || true
            break
        fi
        sleep 0.2
    done
    wait "$child" 2>/dev/null || code=$?
    echo "$code $peak"
}

begin=$SECONDS
read -r code peak < <(run "$folder/whole.jsonl" 1000000)
[ "$code" -eq 0 ] || { cat "$folder/whole.jsonl.log"; exit 1; }
echo "whole: $((SECONDS - begin)) s, peak $((peak / 1024)) MiB, $(($(wc -l < "$folder/whole.jsonl") - 1)) lines"

for round in $(seq "$times"); do
    out="$folder/killed-$round.jsonl"
    rm -f "$out"
    begin=$SECONDS kills=0 most=0 code=137
    while [ "$code" -eq 137 ]; do
        before=$(stat -c %s "$out" 2>/dev/null || echo 0)
        read -r code peak < <(run "$out" "$every")
        [ "$peak" -le "$most" ] || most=$peak
        if [ "$code" -eq 137 ]; then
            kills=$((kills + 1))
            after=$(stat -c %s "$out" 2>/dev/null || echo 0)
            [ "$after" -gt "$before" ] || { echo "nothing was kept between two kills"; exit 1; }
        fi
    done
    [ "$code" -eq 0 ] || { cat "$out.log"; exit 1; }
    cmp "$folder/whole.jsonl" "$out"
    echo "killed $kills times: $((SECONDS - begin)) s, peak $((most / 1024)) MiB, the same lines"
done
