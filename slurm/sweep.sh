#!/bin/bash
# An array of trainings that differ in one key, one GPU each. Three seeds:
#   sbatch --array=1-3 slurm/sweep.sh seed experiment=ifrnet_vimeo data.root=FOLDER/vimeo_triplet
# or values from a list, one a line:
#   sbatch --array=1-3 --export=ALL,VALUES=rates.txt slurm/sweep.sh optimizer.lr experiment=ifrnet_vimeo ...
# The folder of each run is named by what varies.
#SBATCH --job-name=vfi_sweep
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%x-%A_%a.out
set -euo pipefail
key=$1
shift
value=$SLURM_ARRAY_TASK_ID
if [[ -n ${VALUES:-} ]]; then
  value=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$VALUES")
fi
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
exec srun --kill-on-bad-exit=1 "${PYTHON:-.venv/bin/python}" -m vfi_train "$@" "$key=$value" "sweep=[$key]"
