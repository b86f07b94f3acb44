"""The report: one HTML file that needs no network and reads on a phone as on a desk."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import combinations

from vfi_train.evaluate import svg_charts as charts
from vfi_train.evaluate.bootstrap import Comparison, comparable
from vfi_train.evaluate.console_table import columns_of, heading, number, samples, signed, variants
from vfi_train.evaluate.html_style import STYLE
from vfi_train.evaluate.published import Distance, distances
from vfi_train.evaluate.results import Result
from vfi_train.evaluate.resume_log import to_plain
from vfi_train.evaluate.sample_strips import Strip
from vfi_train.evaluate.scorer import COLUMNS

Strips = Mapping[tuple[str, str], Sequence[Strip]]  # by label and part


def page(title: str, results: Sequence[Result], comparisons: Sequence[Comparison], strips: Strips, command: str) -> str:
    """The whole page.

    Args:
        title: of the page.
        results: in the order in which they are shown.
        comparisons: of networks among them.
        strips: images of the worst and best samples of the results that have some.
        command: that made them.
    """
    parts = list(dict.fromkeys(result.part for result in results))
    sections = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=quiet>Made by <code>{escape(command)}</code></p>",
        _summary(results),
        _comparisons(comparisons),
        *(_part([r for r in results if r.part == part], strips) for part in parts),
        _settings(results),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def _summary(results: Sequence[Result]) -> str:
    columns = columns_of(results)
    titles = ["Benchmark", "Network", "Protocol", "Samples", *map(heading, columns), "ms/frame"]
    rows = []
    for result in results:
        found = {distance.column: distance for distance in distances(result)}
        averages, speed = result.averages(), result.milliseconds()
        rows.append(
            [
                f"<span><b>{escape(result.title)}</b> {escape(result.split)}</span>",
                escape(result.label),
                escape(result.protocol),
                _count(result),
                *(_score(column, averages.get(column), found.get(column)) for column in columns),
                "" if speed is None else f"{speed:.1f}",
            ]
        )
    notes = [
        f"<li>{escape(result.label)} on {escape(result.part)}: {escape(note)}</li>"
        for result in results
        for note in [*result.notes, *_effect(result), *(f"broken: {row['broken']}" for row in result.broken)]
    ]
    explained = (
        "<p class=quiet>↑ higher is better, ↓ lower is better. Below a score: the published number, ours less theirs, "
        "▲ better or ▼ worse by more than its rounding and other machines explain.</p>"
    )
    listed = f"<ul class=notes>{''.join(notes)}</ul>" if notes else ""
    return f"<h2>Results</h2>{_table(titles, rows)}{explained}{listed}"


def _score(column: str, value: float | None, distance: Distance | None) -> str:
    text = f"<b>{number(column, value)}</b>"
    if distance is None:
        return text
    kind = "plain" if distance.within or not distance.comparable else ("better" if distance.better else "worse")
    source = escape("; ".join(filter(None, (distance.published.source, distance.published.note))), quote=True)
    return (
        f'{text}<span class="published {kind}" title="{source}">published {escape(distance.published.text)}, '
        f"{signed(distance)}<br>{escape(distance.verdict())}</span>"
    )


def _count(result: Result) -> str:
    text = escape(samples(result)).replace("\n", "<br>")
    return f'<span class="{"worse" if result.broken else "plain"}">{text}</span>'


def _effect(result: Result) -> list[str]:
    if result.precision_effect is None:
        return []
    effect = result.precision_effect
    changes = ", ".join(f"{COLUMNS[c].title} {v:+.4f}" for c, v in effect["difference"].items())
    return [f"{result.precision} instead of fp32 changes {changes} (mean of {effect['samples']} samples)"]


def _comparisons(comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return ""
    titles = ["Benchmark", "Metric", "Second - first", "Difference", "95 % interval", "", "Verdict"]
    rows = []
    for c in comparisons:
        digits = COLUMNS[c.column].digits
        rows.append(
            [
                f"<b>{escape(c.part)}</b>",
                heading(c.column),
                f"{escape(c.second)} - {escape(c.first)}",
                f"<b>{c.difference:+.{digits}f}</b>",
                f"{c.low:+.{digits}f} to {c.high:+.{digits}f}",
                charts.interval(c.low, c.difference, c.high),
                escape(c.finding()),
            ]
        )
    explained = (
        "<p class=quiet>Paired bootstrap over pairs of frames with all of their targets (over sequences where the "
        "protocol averages over them), 10,000 resamples, on the samples that both networks have.</p>"
    )
    return f"<h2>Which is better?</h2>{_table(titles, rows)}{explained}"


def _part(results: Sequence[Result], strips: Strips) -> str:
    first = results[0]
    pieces = [f"<h2>{escape(first.title)} {escape(first.split)}</h2>"]
    meanings = dict.fromkeys(f"{escape(r.protocol)}: {escape(variants(r))}" for r in results)
    pieces.append(f"<p class=quiet>{'<br>'.join(meanings)}</p>")
    figures = [_speed(results), *_positions(results), *_scatters(results)]
    drawn = "".join(figure for figure in figures if figure)
    pieces.append(f"<div class=figures>{drawn}</div>" if drawn else "")
    pieces += [_sequences(result) for result in results]
    for result in results:
        pieces += [_strip(result, strip) for strip in strips.get((result.label, result.part), ())]
    return "".join(pieces)


def _speed(results: Sequence[Result]) -> str:
    column = results[0].columns[0]
    points = [
        (ms, result.averages()[column], result.label)
        for result in results
        if column in result.columns and (ms := result.milliseconds()) is not None
    ]
    devices = ", ".join(dict.fromkeys(result.device for result in results))
    return _figure(charts.speed(points, heading(column)), f"Speed against quality, on {devices}") if points[1:] else ""


def _positions(results: Sequence[Result]) -> Iterable[str]:
    tables = [(result, result.positions()) for result in results]
    tables = [(result, table) for result, table in tables if table]
    if not tables:
        return
    for column in columns_of([result for result, _ in tables]):
        series = [(r.label, [row[column] for row in table]) for r, table in tables if column in r.columns]
        yield _figure(charts.lines(series, "target between the two frames", heading(column)), "By position")
    for result, table in tables:
        rows = [
            [f"<span><b>{row['position']}</b> of {len(table)}</span>", *(number(c, row[c]) for c in result.columns)]
            for row in table
        ]
        name = f"<figcaption>{escape(result.label)}</figcaption>"
        yield f"<figure>{name}{_table(['Position', *map(heading, result.columns)], rows)}</figure>"


def _scatters(results: Sequence[Result]) -> Iterable[str]:
    for first, second in combinations(results, 2):
        column = first.columns[0]
        if first.label == second.label or not comparable(first, second, column):
            continue
        others = {row["key"]: row["scores"][column] for row in second.samples}
        points = [(r["scores"][column], others[r["key"]], r["key"]) for r in first.samples if r["key"] in others]
        chart = charts.scatter(points, first.label, second.label)
        count = f"{charts.MOST_POINTS:,} of {len(points):,}" if len(points) > charts.MOST_POINTS else f"{len(points):,}"
        yield _figure(chart, f"{heading(column)} of each sample ({count}); the line is where both are equal")


def _sequences(result: Result) -> str:
    rows = [
        [f"<b>{escape(row['sequence'])}</b>", str(row["count"]), *(number(c, row[c]) for c in result.columns)]
        for row in result.sequences()
    ]
    if len(rows) < 2:
        return ""
    table = _table(["Sequence", "Samples", *map(heading, result.columns)], rows)
    return f"<details><summary>{escape(result.label)}: {len(rows)} sequences</summary>{table}</details>"


def _strip(result: Result, strip: Strip) -> str:
    column = result.columns[0]
    scores = ", ".join(f"{COLUMNS[c].title} {number(c, strip.row['scores'][c])}" for c in result.columns)
    tiles = "".join(
        f'<figure><img alt="{escape(caption, quote=True)}" loading="lazy" '
        f'src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"><figcaption>{escape(caption)}</figcaption></figure>'
        for caption, jpeg in strip.tiles
    )
    return (
        f"<h3>{escape(result.label)}, {strip.rank} by {COLUMNS[column].title}: {escape(strip.row['key'])} "
        f"<span class=quiet>{escape(scores)}</span></h3><div class=tiles>{tiles}</div>"
    )


def _settings(results: Sequence[Result]) -> str:
    blocks = []
    for result in results:
        about = {
            "model": result.model_config,
            "weights": result.weights,
            "sha256 of the weights": result.weights_sha256,
            "protocol": result.settings,
            "data": result.data,
            "precision": result.precision,
            "device": result.device,
        }
        text = escape(json.dumps(to_plain(about), indent=1))
        name = f"{escape(result.label)} on {escape(result.part)}"
        blocks.append(f"<details><summary>{name}</summary><pre>{text}</pre></details>")
    return f"<h2>How it was measured</h2>{''.join(blocks)}"


def _figure(chart: str, caption: str) -> str:
    return f"<figure>{chart}<figcaption>{escape(caption)}</figcaption></figure>" if chart else ""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose rows become cards where the page is narrow: each cell says its column."""
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-title="{escape(title, quote=True)}">{cell}</td>' if cell else "<td class=empty></td>"
            for title, cell in zip(titles, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
