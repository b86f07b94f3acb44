#!/bin/bash
# A test of the cluster: two processes on CPUs, some minutes, no download:
#   sbatch slurm/cpu_test.sh
# It should end with a table. Arguments are those of the program; without any, the quickstart recipe.
#SBATCH --job-name=vfi_cpu_test
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=1
#SBATCH --time=20
#SBATCH --signal=USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%x-%j.out
set -euo pipefail
if [[ $# -eq 0 ]]; then
  set -- experiment=quickstart name=cpu_test data.num_workers=0
fi
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
exec srun --kill-on-bad-exit=1 "${PYTHON:-.venv/bin/python}" -m vfi_train trainer.accelerator=cpu \
  trainer.devices="$SLURM_NTASKS_PER_NODE" trainer.num_nodes="$SLURM_JOB_NUM_NODES" "$@"
