#!/bin/bash
# A curriculum as a chain of jobs, one for each phase, each waiting for the one before. To be run, not submitted:
#   slurm/curriculum.sh "local global joint pct" slurm/one_node.sh experiment=atmvfi_curriculum roots.vimeo90k=... ...
# What comes before the job script's name may be options of sbatch: "--time=12:00:00 slurm/one_node.sh".
# (One job does all phases too: sbatch slurm/one_node.sh experiment=atmvfi_curriculum ...)
set -euo pipefail
phases=$1
read -r -a script <<< "$2"
shift 2
after=()
for phase in $phases; do
  job=$(sbatch --parsable --job-name="$phase" "${after[@]}" "${script[@]}" "$@" "curriculum.only=[$phase]")
  echo "phase $phase: job ${job%%;*}"
  after=("--dependency=afterok:${job%%;*}" --kill-on-invalid-dep=yes)
done
