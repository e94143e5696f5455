"""The report: one HTML file that opens from disk, Markdown and SVG beside it.

The page reads the verdict records and the results table and computes nothing
that a verdict rests on: means and intervals in its figures are for the eye.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from data import durable
from experiments.judge import numbers
from experiments.judge.comparison import Comparison
from experiments.judge.record import ClaimResult
from experiments.report import (
  figures,
  inputs,
  runs,
  sentence,
  sweep,
  wording,
)
from experiments.report.figures import Plot
from experiments.report.picture import Picture
from experiments.report.terms import Glossary
from experiments.sweeps.plan import Plan


def write(plan: Plan, result: ClaimResult, table: pl.DataFrame,
          manifest: Mapping[str, Any],
          pictures: Mapping[str, Picture] | None = None) -> Path:
  """Writes report.html, report.md and figures/*.svg; the same for the same.

  They go where the results table lies, into `plan.output`.

  Args:
    plan: what was run; its parts bring the figures.
    result: with a verdict for each stratum.
    table: the results table, one row per number.
    manifest: what the runs were made with; any nesting of plain values.
    pictures: sample problems of the parts that have one, by part.

  Returns:
    The path of report.html.
  """
  strata = {stratum.name: stratum for stratum in result.strata}
  plots = {part.name: figures.of_part(table, part, strata[part.name])
           for part in plan.parts if part.name in strata}
  pictures = pictures or {}
  for name, picture in pictures.items():
    save(plan.output / 'figures' / f'{name}-problem.svg', picture.document)
  return _write(plan, 'page', plots, table, manifest, {
    'claim': result, 'tiers': wording.TIERS, 'pictures': pictures,
    'picture': next(iter(pictures), ''), 'inputs': inputs.of_plan(plan),
    'sentences': list(dict.fromkeys(
      sentence.of_claim(plan.experiment, result).values()))})


def compare(plan: Plan, comparison: Comparison, table: pl.DataFrame,
            manifest: Mapping[str, Any]) -> Path:
  """As `write`, for a sweep of one's own, on which there is no verdict."""
  parts = {part.name: part for part in comparison.strata}
  plots = {part.name: sweep.of_part(table, part, parts[part.name])
           for part in plan.parts}
  return _write(plan, 'comparison', plots, table, manifest, {
    'comparison': comparison})


def _write(plan: Plan, template: str, plots: Mapping[str, Sequence[Plot]],
           table: pl.DataFrame, manifest: Mapping[str, Any],
           own: Mapping[str, Any]) -> Path:
  facts = {
    'plan': plan,
    'signs': wording.SIGNS,
    'command': _command(plan),
    'plots': plots,
    'runs': runs.listing(table),
    'fields': runs.fields(table),
    'missing': runs.missing(table),
    'counts': runs.counts(plan, table),
    'numbers': runs.numbers(table),
    'rows': table.height,
    'manifest': sections(manifest),
    **own,
  }
  folder = plan.output
  for plot in (plot for of_one in plots.values() for plot in of_one):
    if plot.svg:
      save(folder / 'figures' / f'{plot.name}.svg', plot.document)
  words = Glossary(plan.experiment.terms)
  save(folder / 'report.md', page(f'{template}.md.jinja', facts, words))
  return save(folder / 'report.html',
              page(f'{template}.html.jinja', facts, words))


def page(template: str, facts: Mapping[str, Any], words: Glossary) -> str:
  """A template of this room, filled in.

  Args:
    template: its file name; HTML or Markdown.
    facts: what it tells.
    words: the terms that it explains.
  """
  import humanize
  import jinja2
  html = '.html' in template
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=html, finalize=None if html else wording.markdown,
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
  environment.filters |= {
    'number': numbers.number, 'count': numbers.count, 'label': wording.label,
    'probability': numbers.probability, 'span': wording.span,
    'brief': numbers.brief, 'bytes': humanize.naturalsize,
    'json': wording.script_json, 'interval_plot': figures.of_effect,
    'telling': lambda stratum: sentence.telling(
      stratum.effects, stratum.verdict),
    'slug': lambda name: name.replace(' ', '-'), 'explain': words.explain,
  }
  return environment.get_template(template).render(
    facts, term=words.term, glossary=words)


def _command(plan: Plan) -> str:
  """What was typed to name the plan, without overrides."""
  strata = (f' --strata={",".join(part.name for part in plan.parts)}'
            if plan.partial and plan.parts else '')
  return f'{plan.experiment.name} --preset={plan.preset}{strata}'


def sections(manifest: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
  """The manifest as titled lists of (key, text); loose values come first."""
  loose = {k: v for k, v in manifest.items() if not isinstance(v, Mapping)}
  nested = {k: v for k, v in manifest.items() if isinstance(v, Mapping)}
  sections = {'run': list(wording.entries(loose))} if loose else {}
  return sections | {k: list(wording.entries(v)) for k, v in nested.items()}


def save(path: Path, text: str) -> Path:
  """Writes a file, and the folders that it needs; its path."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with durable.written(path) as file:
    file.write(text.encode())
  return path
