#!/bin/bash
# One training on the GPUs of several nodes; data.batch_size stays the global batch:
#   sbatch slurm/several_nodes.sh experiment=ifrnet_vimeo data.root=FOLDER/vimeo_triplet
#SBATCH --job-name=vfi_train
#SBATCH --nodes=2
#SBATCH --gpus-per-node=4
#SBATCH --ntasks-per-node=4 # one for each GPU
#SBATCH --cpus-per-task=8 # data workers of a GPU
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120 # two minutes before the limit: save the step and requeue
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%x-%j.out
set -euo pipefail
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1} # srun does not inherit it
exec srun --kill-on-bad-exit=1 "${PYTHON:-.venv/bin/python}" -m vfi_train \
  trainer.devices="$SLURM_NTASKS_PER_NODE" trainer.num_nodes="$SLURM_JOB_NUM_NODES" "$@"
