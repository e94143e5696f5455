"""The figures: regret and forgetting against similarity, by method."""

import polars as pl

from experiments.claims.new_tokens.methods import PARENT, RETRAINING
from experiments.judge.record import StratumResult
from experiments.report import figures
from experiments.report.figures import INTERVAL, Plot, describe

UNIT = ('instance', 'seed', 'd_model')


def draw(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Regret and forgetting, a figure for each width and share of new tokens."""
  rows = priced(done)
  settings = rows.select('d_model', 'share').unique().sort('d_model', 'share')
  return [_cost(rows.filter(d_model=width, share=share), stratum, width, share)
          for width, share in settings.rows()]


def priced(done: pl.DataFrame) -> pl.DataFrame:
  """The rows of `excess`, as regret on new text and forgetting of old text."""
  regret = _against(done, 'new_excess', RETRAINING,
                    (*UNIT, 'similarity', 'share'))
  forgetting = _against(done, 'old_excess', PARENT, UNIT)
  return pl.concat([
    regret.with_columns(metric=pl.lit('regret')),
    forgetting.with_columns(metric=pl.lit('forgetting'))]
  ).filter(pl.col('similarity').is_not_null()).with_columns(line=pl.col('arm'))


def _against(done: pl.DataFrame, metric: str, arm: str,
             unit: tuple[str, ...]) -> pl.DataFrame:
  """The rows of a metric, less what an arm has in the same unit."""
  rows = done.filter(metric=metric)
  base = rows.filter(arm=arm).select(*unit, base='value')
  return rows.join(base, on=unit, maintain_order='left').with_columns(
    value=pl.col('value') - pl.col('base')).drop('base')


def _cost(rows: pl.DataFrame, stratum: StratumResult, width: int,
          share: float) -> Plot:
  plot = describe(
    stratum.name, f'cost-{width}-{100 * share:.0f}',
    f'Regret and forgetting against similarity, d = {width}, new tokens after '
    f'{100 * share:.0f} % of the old',
    'new_excess or old_excess',
    'Regret: loss on new text less that of retraining. Forgetting: loss on '
    'old text less that of the parent, before new tokens came. Nats per '
    f'token; 0 is no cost. {INTERVAL}', 'similarity is not null')
  facets = [(name, rows.filter(metric=name))
            for name in ('regret', 'forgetting')]
  return figures.line_plot(plot, facets, 'nats per token', 'similarity',
                           along='similarity', reference=0.0,
                           reference_name='no cost')
