"""The figures of each stratum: which rows they show, and how."""

import polars as pl

from experiments.judge.record import StratumResult
from experiments.report import figures
from experiments.report.figures import INTERVAL, Plot, describe, of_metric
from experiments.report.wording import label

_PLACES = 'Layer 0 is the embedding; levels count from the leaves to the root.'


def composition(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Accuracy by number of links, and loss."""
  return [_accuracy(done, stratum), figures.loss(
    done, stratum, 'Mean over k; arms that score other positions (chain of '
    'thought) compare only with themselves. ')]


def hierarchy(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Loss, its excess over Bayes', and what each layer knows and uses."""
  return [figures.loss(done, stratum), _excess(done, stratum),
          _decodability(done, stratum), _interchange(done, stratum)]


def text(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Bits per byte, loss, and what each layer predicts."""
  return [_bits_per_byte(done, stratum), figures.loss(done, stratum),
          _lens(done, stratum)]


def _accuracy(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = of_metric(done, 'accuracy').filter(pl.col('hops').is_not_null())
  facets = [(f'k = {hops}', rows.filter(hops=hops))
            for hops in rows['hops'].unique().sort()]
  chance = of_metric(done, 'chance_accuracy')['value'].mean()
  named = '' if chance is None else 'Dashed grey: chance. '
  plot = describe(
    stratum.name, 'accuracy', 'Accuracy against n, by number of links k',
    'accuracy', f'Held-out accuracy. {named}{INTERVAL}', 'hops is not null')
  return figures.line_plot(plot, facets, 'accuracy', reference=chance,
                           share=True)


def _excess(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = of_metric(done, 'excess_bits')
  levels = rows['level'].unique().sort().to_list()  # null, all targets, first
  facets = [(_level(level, levels[-1]),
             rows.filter(pl.col('level').eq_missing(level)))
            for level in levels]
  plot = describe(
    stratum.name, 'excess-loss', 'Loss above the Bayes optimum against n',
    'excess_bits', 'Bits above the exact optimum of the grammar; 0 is perfect. '
    f'{INTERVAL}')
  return figures.line_plot(plot, facets, 'excess (bits)', reference=0.0)


def _bits_per_byte(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = of_metric(done, 'bits_per_byte')
  smallest = next((e.smallest for e in stratum.effects
                   if e.unit == 'bits per byte'), None)
  named = '' if smallest is None else (
    f'Ring: n*, the fewest layers within ±{smallest:g} (the smallest effect of '
    'interest) of the most, by the 95 % t-interval of paired differences; no '
    'ring, none below the most. ')
  plot = describe(
    stratum.name, 'bits-per-byte', 'Held-out bits per byte against n',
    'bits_per_byte', f'Lower is better. {named}{INTERVAL}')
  return figures.line_plot(plot, [('', rows)], 'bits per byte',
                           negligible=smallest)


def _decodability(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  plot = describe(
    stratum.name, 'decodability', 'What each layer knows: decodability D by '
    'layer and level', 'decodability',
    'D is 0 for the network before training and 1 for exact inference; cells '
    'are means over runs. Diamond: where a level emerges (D, linear between '
    'layers, crosses 0.9 of its highest), the mean of the emergence_layer of '
    'each run. Filtered: trained where the leaves are independent given the '
    'root, so that the same levels are of no use. Level 1 is not judged: it '
    f'has so few strings that a probe learns any labels for them. {_PLACES}')
  return figures.heat_plot(plot, of_metric(done, 'decodability'), 'layer',
                           'level', of_metric(done, 'emergence_layer'))


def _interchange(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  plot = describe(
    stratum.name, 'interchange', 'Is it used? Interchange accuracy by layer '
    'and level', 'interchange_accuracy', 'Share of examples whose prediction '
    'changes as exact inference says when a level is swapped at a layer; cells '
    'are means over runs. Judged is where a level emerges, on a scale from the '
    'network before training (0) to the same pairs with the input itself '
    f'changed (1). {_PLACES}')
  return figures.heat_plot(plot, of_metric(done, 'interchange_accuracy'),
                           'layer', 'level')


def _lens(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  names = {'lens_bits_per_byte': 'bits per byte', 'lens_kl': 'KL to the '
           'last layer (bits)'}
  rows = done.filter(
    pl.col('metric').is_in(list(names)), pl.col('layer').is_not_null()
  ).with_columns(relative=pl.col('layer') / pl.col('n_layers'))
  panels = [(label(arm), names[metric], rows.filter(line=arm, metric=metric))
            for arm in rows['line'].unique(maintain_order=True)
            for metric in names]
  plot = describe(
    stratum.name, 'logit-lens', 'Logit lens: the prediction read at each layer',
    ' or '.join(names), 'The final norm and head applied to the residual '
    'stream of each layer, 0 the embedding and 1 the last. Lines: mean over '
    'runs, one per n, with 95 % t-intervals.', 'layer is not null')
  return figures.curve_plot(plot, [p for p in panels if p[2].height],
                            'relative', 'n_layers', 'relative layer', 'n = {}',
                            limits=(-0.04, 1.04))


def _level(level: int | None, root: int | None) -> str:
  if level is None:
    return 'all targets'
  return {0: 'leaf (level 0)', root: f'root (level {root})'}.get(
    level, f'level {level}')
