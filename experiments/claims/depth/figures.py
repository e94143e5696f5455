"""The figures of each stratum: which rows they show, and how."""

import polars as pl

from experiments.claims.depth.links import EARLY, SOLVED
from experiments.judge.numbers import listed
from experiments.judge.record import StratumResult
from experiments.report import figures
from experiments.report.figures import INTERVAL, Plot, describe, of_metric
from experiments.report.wording import label

_DRAWN = ('Accuracy on newly drawn questions (the same rule; a cycle may come '
          'again, its links in another order). ')
_PLACES = 'Layer 0 is the embedding; levels count from the leaves to the root.'


def composition(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Accuracy by number of links, at the end and against FLOPs."""
  return [_accuracy(done, stratum), _learning(done, stratum)]


def hierarchy(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Loss, its excess over Bayes', and what each layer knows and uses."""
  return [figures.loss(done, stratum), _excess(done, stratum),
          _decodability(done, stratum), _interchange(done, stratum)]


def text(done: pl.DataFrame, stratum: StratumResult) -> list[Plot]:
  """Bits per byte, loss, and what each layer predicts."""
  return [_bits_per_byte(done, stratum), figures.loss(done, stratum),
          _lens(done, stratum)]


def _accuracy(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  chance = of_metric(done, 'chance_accuracy')['value'].mean()
  # As published, nothing is compared at equal FLOPs.
  metric, when, named = ('accuracy', '', '') if chance is None else (
    'early_accuracy', f' after at most {EARLY / 1e9:.0f} billion FLOPs',
    'Dashed grey: chance. ')
  rows = of_metric(done, metric).filter(pl.col('hops').is_not_null())
  facets = [(f'k = {hops}', rows.filter(hops=hops))
            for hops in rows['hops'].unique().sort()]
  plot = describe(
    stratum.name, 'accuracy', f'Accuracy{when} against n, by number of links '
    'k', metric, f'{_DRAWN}{named}{_price(done)}{INTERVAL}',
    'hops is not null')
  return figures.line_plot(plot, facets, 'accuracy', reference=chance,
                           share=True)


def _price(done: pl.DataFrame) -> str:
  """How many times the parameters one layer needs for two links."""
  asked = of_metric(done, 'early_accuracy').filter(hops=2)
  two = asked.filter(arm=pl.lit('plain'), n_layers=2)['parameters'].to_list()
  single = asked.filter(
    pl.col('arm').is_in(['equal_parameters', 'one_layer'])
  ).group_by('parameters').agg(pl.col('value').mean()).sort('parameters')
  if not two or single.is_empty():
    return ''
  sizes = [size / two[0] for size in single['parameters']]
  able = [size for size, accuracy in zip(sizes, single['value'])
          if accuracy >= SOLVED]
  words = (f'a single layer needs {able[0]:.2f} times the parameters' if able
           else 'of single layers, those of '
           f'{listed([f"{size:.2f}" for size in sizes])} times the parameters '
           'were tried, and none does')
  return (f'Two links, at least {SOLVED:g} of them right by then: two layers '
          f'have {two[0]:,} parameters; {words}. ')


def _learning(done: pl.DataFrame, stratum: StratumResult) -> Plot:
  rows = done.filter(
    pl.col('step').is_not_null(), metric=pl.lit('accuracy')
  ).with_columns(
    spent=pl.col('train_flops') * pl.col('step') / pl.col('step').max()
    .over('run'),
    curve=pl.format('{}, n = {}, d = {}', pl.col('line').str.replace_all(
      '_', ' '), 'n_layers', 'd_model'))
  # A third of the evaluations is enough for the eye; the last is one of them.
  left = pl.col('step').rank('dense', descending=True).over('run')
  plot = describe(
    stratum.name, 'learning', 'Accuracy against training FLOPs, by number of '
    'links k', 'accuracy', f'{_DRAWN}Every third evaluation; '
    'curves may cross, so that what is ahead early need not be later. '
    f'{_solved(done)}Lines: mean over seeds with 95 % '
    't-intervals.', 'step is not null')
  panels = [(f'k = {hops}', 'accuracy',
             rows.filter(pl.col('hops') == hops, left % 3 == 1))
            for hops in rows['hops'].unique().sort()]
  return figures.curve_plot(plot, panels, 'spent', 'curve', 'training FLOPs')


def _solved(done: pl.DataFrame) -> str:
  """How many seeds of each number of layers solved the most links."""
  rows = of_metric(done, 'solved').filter(
    pl.col('hops') == pl.col('hops').max(), arm=pl.lit('plain'))
  if rows.is_empty():
    return ''
  counts = ', '.join(
    f'{int(values.sum())} of {len(values)} with {n} layers'
    for n, values in rows.group_by('n_layers').agg('value').sort(
      'n_layers').rows() for values in [pl.Series(values)])
  return (f'k = {rows["hops"][0]} was solved, twice in a row at least '
          f'{SOLVED:g}, in {counts}. ')


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
    'bits_per_byte', f'Lower is better. {_corpus(done)}{named}{INTERVAL}')
  return figures.line_plot(plot, [('', rows)], 'bits per byte',
                           negligible=smallest)


def _corpus(done: pl.DataFrame) -> str:
  """What was predicted, and how much of it is not scored, in words."""
  if 'corpus' not in done.columns:
    return ''
  return ''.join(
    f'Corpus: {name}; {share:.1%} of its held-out bytes lie in copies of '
    'training text and are not scored. '
    for name, share in of_metric(done, 'left_out').select(
      'corpus', 'value').unique(maintain_order=True).iter_rows())


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
