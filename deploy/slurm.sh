#!/bin/bash
#SBATCH --job-name=riposte-bench
#SBATCH --array=0-3
#SBATCH --cpus-per-task=2
#SBATCH --requeue
#SBATCH --open-mode=append
#
# The suite in parts, one for each task of an array that begins at 0; the words behind the script are those of `riposte bench`:
#
#     sbatch --array=0-15 deploy/slurm.sh table1 table3 --images 10000 --device cpu --out /shared/results
#     riposte report /shared/results
#
# A task that was lost goes on where its files end: Slurm requeues it, or by hand, with the number of all parts,
#
#     SHARDS=16 sbatch --array=7 deploy/slurm.sh (the same words)
#
# RIPOSTE names the program, RIPOSTE_DATA the folder of the official files.
set -eu
exec "${RIPOSTE:-riposte}" bench "$@" --shard "$SLURM_ARRAY_TASK_ID/${SHARDS:-$SLURM_ARRAY_TASK_COUNT}" --threads "${SLURM_CPUS_PER_TASK:-1}"
