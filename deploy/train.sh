#!/bin/sh
# Trains PreActResNet18 on CIFAR-10 by N-FGSM (15 epochs) and by Free-8 (4 epochs of 8 replays), on a GPU. Started again, it
# goes on where it ended.
#
#   deploy/train.sh OUT [DEVICE [MODEL...]]    DEVICE as for `riposte --device`, default auto; MODEL n-fgsm or free, default both
#
# Each model is then in OUT/cifar10-resnet18-MODEL, with a card that says how it was trained and how well it does on all test images.
# RIPOSTE names another program than `riposte`; SAMPLES and EPOCHS shorten a trial.
set -eu
out=${1:?"the folder for the models: deploy/train.sh OUT [DEVICE [MODEL...]]"}
device=${2:-auto}
shift
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- n-fgsm free
for model in "$@"; do
    case $model in
        n-fgsm) settings="--method n-fgsm --epochs ${EPOCHS:-15}" ;;
        free) settings="--method free --replays 8 --epochs ${EPOCHS:-4}" ;;
        *) echo "no recipe for $model: n-fgsm or free" >&2; exit 2 ;;
    esac
    folder=$out/cifar10-resnet18-$model
    [ ! -e "$folder/run.json" ] || settings="$settings --resume"
    # shellcheck disable=SC2086
    "${RIPOSTE:-riposte}" train --architecture preact-resnet18 --dataset cifar10 $settings --half --seed 0 ${SAMPLES:+--samples "$SAMPLES"} \
        --device "$device" --id "cifar10-resnet18-$model" --out "$folder"
done
