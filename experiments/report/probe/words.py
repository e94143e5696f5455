"""The first screen: four questions, answered by rules from the numbers."""

import dataclasses
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence

from experiments.judge.numbers import brief, count, listed, number
from experiments.report.probe.readings import (
  FORMED,
  SPARED,
  TURNED,
  Layers,
  Measured,
)

UNLIKE = 1.25  # halves that differ by less are called alike


@dataclasses.dataclass(frozen=True)
class Bar:
  """A value among others: how full it is, what it is called and says."""

  name: str
  value: str
  share: float
  marked: bool = False


@dataclasses.dataclass(frozen=True)
class Answer:
  """A question and what the numbers say to it.

  Attributes:
    name: an id of the page.
    question: in plain words.
    sentences: none where nothing was measured.
    metrics: whose rows they are made of, and whose figures show more.
    strip: a bar for each layer, or for each definition.
    reading: what the bars' height and colour mean.
    needs: the instruments that would have answered.
  """

  name: str
  question: str
  sentences: Sequence[str]
  metrics: Sequence[str]
  strip: Sequence[Bar] = ()
  reading: str = ''
  needs: Sequence[str] = ()


def answers(own: Measured, axes: Mapping[str, str]) -> list[Answer]:
  """The four, in their order.

  Args:
    own: what was measured.
    axes: what each metric is, by name.
  """
  return [does(own), forms(own), can_go(own), depth(own, axes)]


def does(own: Measured) -> Answer:
  """What each layer does: how much it adds, in which direction, how linear."""
  said, metrics = [], []
  added = own.layers('contribution_norm')
  turned = own.layers('block_influence')
  if added:
    said.append(_halves(added, lambda size: (
      f'{number(size, 2)} times the length of what it reads')))
    metrics.append('contribution_norm')
    parts = [own.layers('contribution_norm', part=part)
             for part in ('mixer', 'feed-forward')]
    if all(parts):
      fed = [layer for layer in parts[0] if parts[1][layer] > parts[0][layer]]
      said.append(
        f'The feed-forward network adds more than attention in {len(fed)} of '
        f'{len(parts[0])} layers.' if fed else
        'Attention adds more than the feed-forward network in every layer.')
  elif turned:
    most, least = _extremes(turned)
    said.append(f'The stream turns most in layer {most} and least in layer '
                f'{least} (1 − cosine: {number(turned[most], 2)} and '
                f'{number(turned[least], 2)}).')
    metrics.append('block_influence')
  if cosines := own.layers('contribution_cosine'):
    said.append(_directions(cosines))
    metrics.append('contribution_cosine')
  whole, change = own.layers('linearity'), own.layers('linearity_of_change')
  if whole and change:
    said.append(
      f'One matrix explains {_share(_mean(whole))} of the stream behind a '
      f'layer, and {_share(_mean(change))} of what the layer adds, on average.')
    metrics += ['linearity', 'linearity_of_change']
  later = own.layers('effect_above', tokens='later')
  if len(later) > 1:
    first, second = _means_of_halves(later)
    said.append(
      f'Leaving out a layer of the first half changes what the layers above '
      f'add at later tokens by {number(first, 2)} of its length, one of the '
      f'second half by {number(second, 2)}.')
    metrics.append('effect_above')
  shown = added or turned
  return Answer(
    'does', 'What does each layer do?', said, metrics, _strip(shown, ()),
    'Height: how much each layer adds.' if added else
    'Height: how far each layer turns the stream.',
    ('contributions', 'influence', 'linearity'))


def forms(own: Measured) -> Answer:
  """Where predictions form, through each lens and in a random network."""
  best = own.earliest
  formed = {lens: own.forms(lens) for lens in own.lenses}
  random = {lens: own.forms(lens, 'random') for lens in own.lenses}
  said = []
  if any(layer is not None for layer in formed.values()):
    said = [f'At most places the likeliest next word is already that of the '
            f'last layer {_from(formed)}, of {own.n_layers} layers.']
    if any(layer is not None for layer in random.values()):
      said.append(f'In a random network of this shape: {_from(random)}.')
  shares = own.layers('lens_agreement', lens=best) if best else {}
  return Answer(
    'forms', 'Where do predictions form?', said,
    ['lens_agreement'] if said else [],
    _strip(shares, {layer for layer, share in shares.items()
                    if share >= FORMED}, whole=True),
    f'Height: share of likeliest words that are the last layer’s, '
    f'{_name(best)} lens; coloured from {_share(FORMED)}.',
    ('logit-lens', 'linear-lens', 'jacobian-lens'))


def can_go(own: Measured) -> Answer:
  """Which layers can be left out, one at a time."""
  metric, kept = own.stays()
  if not kept:
    return Answer('can-go', 'Which layers can go?', (), (),
                  needs=('skipping',))
  spared = own.spared()
  rest = [layer for layer in kept if layer not in spared]
  what = ('the likeliest next word stays the same in'
          if metric == 'skip_agreement' else
          'the last stream keeps a cosine with itself of')
  bound = _share(SPARED) if metric == 'skip_agreement' else brief(SPARED)
  if not spared:
    said = [f'None: whichever of the {len(kept)} layers is left out, {what} '
            f'less than {bound}{_places(metric)}.']
  elif not rest:
    said = [f'Any one of the {len(kept)}, but one at a time: {what} at least '
            f'{bound}{_places(metric)}.']
  else:
    said = [f'{len(spared)} of {len(kept)} layers, one at a time: without '
            f'{_layers(spared)}, {what} at least {bound}{_places(metric)}.',
            f'Not {_layers(rest)}.']
  _, least = _extremes(kept)
  costs = own.layers('skip_bits')
  cost = (f', and each next word costs {number(costs[least], 2)} bits more'
          if costs.get(least, 0) > 0 else '')
  left = _share(kept[least]) if _places(metric) else number(kept[least], 2)
  said.append(f'What is missed most is layer {least}: without it that is '
              f'{left}{cost}.')
  return Answer(
    'can-go', 'Which layers can go?', said,
    [metric] + ['skip_bits'] * bool(cost),
    _strip(kept, spared, whole=True),
    'Height: what stays when the layer is left out; coloured: it can go.',
    ('skipping',))


def depth(own: Measured, axes: Mapping[str, str]) -> Answer:
  """How deep it is in effect: each definition, as none is agreed on."""
  found = own.depths()
  bars = []
  for name, value in found.items():
    metric, *places = name.split(' · ')
    told = axes.get(metric, metric.replace('_', ' '))
    bars.append(Bar(' · '.join([told, *places]),
                    f'{number(value)} of {own.n_layers}',
                    max(0.0, min(1.0, value / max(own.n_layers, 1)))))
  values = list(found.values())
  said = []
  if len(values) > 1:
    said = [f'Between {number(min(values), 2)} and {number(max(values), 2)} of '
            f'{own.n_layers} layers, by how it is defined: there are '
            f'{_spelled(len(values))} definitions, and none is agreed on.']
  elif values:
    said = [f'{number(values[0], 2)} of {own.n_layers} layers.']
  return Answer('depth', 'How deep is it, in effect?', said,
                list(dict.fromkeys(name.split(' · ')[0] for name in found)),
                bars, '', ('effective-depth',))


def _from(formed: Mapping[str, int | None]) -> str:
  """From which layer on, by lens."""
  return listed([f'from layer {layer} on as the {_name(lens)} lens reads it'
                 if not number else f'from {layer} by the {_name(lens)} lens'
                 for number, (lens, layer) in enumerate(
                   (lens, layer) for lens, layer in formed.items()
                   if layer is not None)])


def ranges(layers: Sequence[int]) -> list[str]:
  """[1, 2, 3, 7] → ['1–3', '7']."""
  runs: list[list[int]] = []
  for layer in sorted(layers):
    if runs and layer == runs[-1][-1] + 1:
      runs[-1].append(layer)
    else:
      runs.append([layer])
  return [str(run[0]) if len(run) == 1 else f'{run[0]}–{run[-1]}'
          for run in runs]


def _layers(layers: Sequence[int]) -> str:
  return ('layer ' if len(layers) == 1 else 'layers ') + listed(ranges(layers))


def _places(metric: str) -> str:
  return ' of the places' if metric == 'skip_agreement' else ''


def _halves(values: Layers, told: Callable[[float], str]) -> str:
  """What the first half of the layers does beside the second."""
  if len(values) == 1:
    return f'Its one layer adds {told(*values.values())}.'
  first, second = _means_of_halves(values)
  unlike = max(first, second) > UNLIKE * max(min(first, second), 1e-12)
  most, _ = _extremes(values)
  return (f'{"The first half" if first > second else "The second half"} of the '
          f'layers adds more' if unlike else
          'Both halves of the layers add about as much') + (
    f': a layer of the first adds {told(first)}, one of the second '
    f'{number(second, 2)}; layer {most} adds most, {number(values[most], 2)}.')


def _means_of_halves(values: Layers) -> tuple[float, float]:
  layers = sorted(values)
  middle = len(layers) // 2
  return (_mean({layer: values[layer] for layer in layers[:middle]}),
          _mean({layer: values[layer] for layer in layers[middle:]}))


def _directions(cosines: Layers) -> str:
  """How many layers take out, write, or enlarge."""
  groups = {
    ('writes', 'write', 'something new'): lambda cosine: abs(cosine) <= TURNED,
    ('enlarges', 'enlarge', 'what is there'): lambda cosine: cosine > TURNED,
    ('takes', 'take', 'something out'): lambda cosine: cosine < -TURNED}
  told = []
  for (one, several, what), belongs in groups.items():
    if layers := [la for la, cosine in cosines.items() if belongs(cosine)]:
      verb = one if len(layers) == 1 else several
      told.append(f'{count(len(layers))} {verb} {what} '
                  f'({", ".join(ranges(layers))})')
  return f'Of {len(cosines)} layers {listed(told)}.'


def _extremes(values: Layers) -> tuple[int, int]:
  """The layers of the largest and of the smallest value."""
  return (max(values, key=lambda layer: values[layer]),
          min(values, key=lambda layer: values[layer]))


def _strip(values: Layers, marked: Collection[int],
           whole: bool = False) -> list[Bar]:
  top = 1.0 if whole else max(values.values(), default=1.0) or 1.0
  return [Bar(f'layer {layer}', number(value),
              max(0.0, min(1.0, value / top)), layer in marked)
          for layer, value in values.items()]


def _mean(values: Layers) -> float:
  return statistics.fmean(values.values())


def _share(value: float) -> str:
  return f'{brief(100 * value)} %'


def _name(lens: str) -> str:
  return 'Jacobian' if lens == 'jacobian' else lens


def _spelled(size: int) -> str:
  return {2: 'two', 3: 'three', 4: 'four', 5: 'five'}.get(size, str(size))
