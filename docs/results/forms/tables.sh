#!/bin/sh
# Writes README.md and the plots from the lines in this folder: sh docs/results/forms/tables.sh, with `riposte` in the path.
set -eu
cd "$(dirname "$0")"

# Heading, plot, results of the full form or nothing, files with lines.
section() {
    heading=$1 plot=$2 full=$3
    shift 3
    printf '\n## %s\n\n![Accuracy over work](%s)\n\n' "$heading" "$plot"
    if [ -n "$full" ]; then
        riposte pareto --table "$@" --full "../$full" --plot "$plot"
    else
        riposte pareto --table "$@" --plot "$plot"
    fi
}

{
    cat head.md
    section 'MNIST, the attack stops at success' mnist-stop.svg f-mnist-mnist-robust-fixed-stop.jsonl ./*-??-mnist-stop-*.jsonl
    section 'MNIST, the attack takes all steps' mnist-never.svg f-mnist-mnist-robust-fixed-never.jsonl ./*-mnist-never-*.jsonl
    section 'MNIST, no attack' mnist-natural.svg f-mnist-mnist-robust-fixed-natural.jsonl ./*-mnist-natural-*.jsonl
    section 'CIFAR-10, narrow network, the attack stops at success' cifar-stop.svg f-cifar-narrow-fixed-stop.jsonl ./*-cifar-stop-*.jsonl
    section 'CIFAR-10, narrow network, the attack takes all steps' cifar-never.svg f-cifar-narrow-fixed-never.jsonl ./*-cifar-never-*.jsonl
    section 'CIFAR-10, narrow network, no attack' cifar-natural.svg f-cifar-narrow-fixed-natural.jsonl ./*-cifar-natural-*.jsonl
    section 'CIFAR-10, PreActResNet-18, the attack stops at success' resnet18-stop.svg f-cifar-preact-resnet18-fixed-stop.jsonl ./*-resnet18-stop-*.jsonl
    section 'Early exit: MNIST, the attack stops at success' exit-mnist-stop.svg '' ./*-exit-mnist-stop.jsonl
} > README.md
