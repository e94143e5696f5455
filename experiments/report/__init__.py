"""The report: one HTML file that opens from disk, Markdown and SVG beside it.

The page reads the verdict records and the results table and computes nothing
that a verdict rests on: means and intervals in its figures are for the eye.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from experiments.report import figures, runs, wording

if TYPE_CHECKING:
  from experiments.judge.verdict import ClaimResult


def write(folder: Path, claim_result: ClaimResult, table: pl.DataFrame,
          manifest: Mapping[str, Any], experiment: Any) -> Path:
  """Writes report.html, report.md and figures/*.svg; the same for the same.

  Args:
    folder: where the results table (results.csv, results.parquet) lies.
    claim_result: with a verdict for each stratum.
    table: the results table, one row per number.
    manifest: what the runs were made with; any nesting of plain values.
    experiment: gives the page its `name` and `preset`.

  Returns:
    The path of report.html.
  """
  plots = {stratum.name: figures.of_stratum(table, stratum)
           for stratum in claim_result.strata}
  listing = runs.listing(table)
  facts = {
    'claim': claim_result,
    'experiment': experiment,
    'plots': plots,
    'runs': listing,
    'timed': any(run['seconds'] is not None for run in listing),
    'missing': runs.missing(table),
    'counts': runs.counts(table),
    'numbers': runs.numbers(table),
    'rows': table.height,
    'manifest': _sections(manifest),
    'verdicts': wording.VERDICTS,
    'tiers': wording.TIERS,
  }
  folder = Path(folder)
  (folder / 'figures').mkdir(parents=True, exist_ok=True)
  for plot in (plot for of_one in plots.values() for plot in of_one):
    if plot.svg:
      _save(folder / 'figures' / f'{plot.name}.svg', plot.document)
  _save(folder / 'report.md', _page('page.md.jinja', facts))
  return _save(folder / 'report.html', _page('page.html.jinja', facts))


def _page(template: str, facts: Mapping[str, Any]) -> str:
  import jinja2
  html = '.html' in template
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=html, finalize=None if html else wording.markdown,
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
  environment.filters |= {
    'number': wording.number, 'count': wording.count, 'label': wording.label,
    'probability': wording.probability, 'span': wording.span,
    'brief': wording.brief, 'interval_plot': figures.of_effect,
  }
  return environment.get_template(template).render(facts)


def _sections(manifest: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
  """The manifest as titled lists of (key, text); loose values come first."""
  loose = {k: v for k, v in manifest.items() if not isinstance(v, Mapping)}
  nested = {k: v for k, v in manifest.items() if isinstance(v, Mapping)}
  sections = {'run': list(wording.entries(loose))} if loose else {}
  return sections | {k: list(wording.entries(v)) for k, v in nested.items()}


def _save(path: Path, text: str) -> Path:
  path.write_text(text, encoding='utf-8')
  return path
