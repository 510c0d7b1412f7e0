#!/usr/bin/env bash
# A GPU measured in one go: the kernels' tests there, then this project's kernels, Burn's own operations and PyTorch in one table.
#
#   tests/bench/gpu.sh collect FOLDER          on a machine with Rust: builds what is needed and puts it into FOLDER, about 60 MB packed
#   tests/bench/gpu.sh run FOLDER OUT DEVICE   on the machine with the GPU: DEVICE is vulkan, cuda, metal or wgpu, as for `riposte --device`
#
# `run` needs no network, and PyTorch only for its sides. Every part has a limit of time of its own; with SECONDS_IN_ALL (default 560) all of
# them stay below that together, and what was measured until then is in OUT. Environment: FEATURES (collect; default wgpu, for CUDA
# `cuda`), ROUNDS (default 2), ARCHITECTURES.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

collect() {
    local folder=$1 target
    cd "$root"
    target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    cargo build --release --workspace --exclude xtask --features "riposte-cli/${FEATURES:-wgpu}" --bins --examples
    mkdir -p "$folder"
    cp "$target/release/riposte" "$target/release/examples/kernel_speed" "$folder"
    # The tests of kernels and devices; its path is the last word that cargo says of it.
    tests=$(cargo test --release --workspace --exclude xtask --features "riposte-cli/${FEATURES:-wgpu}" --no-run 2>&1 \
        | sed -n 's/.*Executable tests\/kernels.rs (\(.*\))/\1/p')
    cp "$tests" "$folder/kernels"
    strip "$folder/riposte" "$folder/kernel_speed" "$folder/kernels"
    ls -l "$folder"
}

run() {
    local folder=$1 out=$2 device=$3 begin=$SECONDS
    mkdir -p "$out"
    # What is left of the time, but no more than the given seconds.
    left() { local rest=$((${SECONDS_IN_ALL:-560} - SECONDS + begin)); echo $((rest < $1 ? (rest > 0 ? rest : 1) : $1)); }
    part() { # name, seconds, command...
        local name=$1 seconds=$2 code=0
        shift 2
        echo "== $name"
        timeout "$(left "$seconds")" "$@" >"$out/$name.txt" 2>"$out/$name.log" || code=$?
        echo "exit code $code, $((SECONDS - begin)) s so far" | tee -a "$out/$name.log"
        tail -n 40 "$out/$name.txt"
    }
    part devices 30 "$folder/riposte" devices
    RIPOSTE_REQUIRE_WGPU=1 part tests 120 "$folder/kernels" gpu
    # One process for each case and side; TF32, autocast and torch.compile are PyTorch's fastest ways.
    local sides=(kernels kernels-mixed stock) torch=cpu
    if python3 -c 'import torch' 2>>"$out/torch.log"; then
        if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
            torch=cuda
            sides+=(pytorch pytorch-tf32 pytorch-amp pytorch-compiled-tf32 pytorch-compiled-amp)
        else
            sides+=(pytorch)
        fi
    fi
    for network in ${ARCHITECTURES:-preact-resnet18 fast-mnist-cnn}; do
        part "speed-$network" 240 python3 "$root/tests/bench/compare.py" --riposte "$folder/riposte" --device "$device" \
            --pytorch-device "$torch" --architecture "$network" --task post-train train-step pgd-batch pgd-single --batch-size 256 \
            --iterations "${ITERATIONS:-50}" --steps 20 --repeats 3 --rounds "${ROUNDS:-2}" --timeout 60 --side "${sides[@]}" \
            --output "$out/speed-$network.json"
    done
    # Single layers, warmed up and at the first call: `kernel_speed` knows the default adapter.
    part layers 120 "$folder/kernel_speed" wgpu 2 0.3 conv
    echo "All of it is in $out."
}

case "${1:-}" in
    collect) collect "${2:?a folder}" ;;
    run) run "${2:?the folder that collect filled}" "${3:?a folder for what is measured}" "${4:?a device}" ;;
    *) sed -n '2,9p' "$0" && exit 2 ;;
esac
