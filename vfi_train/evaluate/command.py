"""`python -m vfi_train.evaluate`: networks on benchmarks, by published protocols, compared with published numbers."""

from __future__ import annotations

from omegaconf import DictConfig

from vfi_train.errors import UserError
from vfi_train.evaluate import console_table
from vfi_train.evaluate.jobs import make_jobs, run_job
from vfi_train.evaluate.launch import start
from vfi_train.evaluate.options import read_options
from vfi_train.evaluate.outputs import publish
from vfi_train.evaluate.predictor import set_up
from vfi_train.evaluate.results import Result, read_results
from vfi_train.evaluate.sample_images import SampleImages, worst_and_best
from vfi_train.runtime.console import say


def evaluate(config: DictConfig) -> list[Result]:
    """Measure the networks of a configuration and write the results; see conf/evaluate.yaml.

    Raises:
        UserError: a mistake in the configuration; or samples that could not be read, once the results are written.
    """
    options = read_options(config)
    earlier = [result for folder in options.compare for result in read_results(str(folder))]
    if not options.models and not earlier:
        raise UserError("there is nothing to measure: give model=NAME weights=WEIGHTS, run=NAME or compare=[FOLDER]")
    for line in options.absent:
        say(f"left out: {line}")
    jobs = make_jobs(options)
    fabric = start(options.device, options.devices)
    measured: list[Result] = []
    images: dict[tuple[str, str], list[SampleImages]] = {}
    for job in jobs:
        with set_up(job.model.network, job.settings, options.precision):
            result = run_job(job, options, fabric)
            if fabric.is_global_zero:
                measured.append(result)
                if options.num_examples and result.columns:
                    images[result.label, result.split_name] = worst_and_best(
                        job.source, job.predictor(result.backend, result.precision), result.samples, result.columns[0],
                        options.num_examples,
                    )  # fmt: skip
                say(console_table.summary(result))
                for line in (*result.notes, *console_table.published_lines(result)):
                    say(line)
        job.model.network.cpu()
    if fabric.is_global_zero:
        publish(measured, earlier, images, options)
        _check_broken(measured)
    return measured


def _check_broken(measured: list[Result]) -> None:
    broken = [(result, row) for result in measured for row in result.broken]
    if broken:
        first, row = broken[0]
        raise UserError(
            f"{len(broken)} samples could not be read and are in no average, the first on {first.split_name}: "
            f"{row['broken']}; repair them and give the same command again, which measures only them"
        )
