"""Planted tables and slices of a probe, with outcomes that a test chooses."""

import math

import polars as pl

from experiments.instruments import examination
from experiments.instruments.instrument import Instrument
from experiments.runs.subject import Row

LENSES = ('logit', 'linear', 'jacobian')
# Words that break what is careless: markup, marks, other scripts, names that
# every object has.
WORDS = ['</script><script>window.broken = 1</script>', ' the', '\n', '', '\t',
         ' <b>bold</b>', '&amp;', 'constructor', '<|endoftext|>', ' שלום',
         '你好', '\u200b', ' of', '"quoted\'', '\\u003c', '\u2028', '\ufffd',
         ' internationalisation']


def instruments():
  """Stand-ins of the catalogue's shape: their rows are planted."""
  def made(name, title, metrics):
    return Instrument(
      name=name, title=title, says=f'What {name} means <in words>.',
      source='Somebody, 2020', measure=lambda given: [],
      flops=lambda *_: 1e12, metrics=metrics)

  lens = {'lens_bits': 'cross-entropy of the next token (bits)',
          'lens_divergence': 'KL(last layer || this layer) (bits)',
          'lens_agreement': 'share with the last layer’s likeliest token'}
  return [
    *(made(f'{name}-lens', f'Where predictions form: the {name} lens',
           {**lens, **({'split_half': 'of two halves'} if name == 'jacobian'
                       else {})}) for name in LENSES),
    made('contributions', 'How much does each layer add?', {
      'contribution_norm': 'length of what is added / of the stream',
      'contribution_cosine': 'cosine of what is added with the stream'}),
    made('linearity', 'How close is each layer to one matrix?', {
      'linearity': 'variance of the stream that a matrix explains',
      'linearity_of_change': 'variance of what is added that it explains'}),
    made('similarity', 'Which layers are alike?',
         {'cka': 'debiased linear CKA'}),
    made('dimension', 'How many dimensions do the vectors fill?',
         {'two_nearest_dimension': 'TwoNN dimension'}),
    made('skipping', 'Which layers can go?', {
      'skip_agreement': 'share of likeliest tokens that stay',
      'skip_bits': 'growth of the cross-entropy (bits)'}),
    made('effective-depth', 'How deep is it, in effect?', {
      'participation': 'layers that matter when left out',
      'participation_share': 'share of the layers that matter',
      'overlap_depth': 'first layer with half of the last five words'}),
    made('head-scores', 'Which heads copy?',
         {'induction_score': 'attention to what followed last time'}),
    made('novelty', 'Something that came later',
         {'novelty': 'a number by an unknown place',
          'novelty_in_all': 'one number',
          'novelty_of_parts': 'of layers, of heads and of all'})]


def rows(n=30, forms=0.6, needed=(1, 2, 30)):
  """Of one model.

  Args:
    n: layers.
    forms: where predictions form, of the depth, with the lens that sees most.
    needed: layers that cannot go.
  """
  def lens(name, late):
    for layer in range(n + 1):
      for network, at in (({}, forms + late), ({'network': 'random'}, 0.95)):
        share = 1 / (1 + math.exp(-14 * (layer / n - at)))
        share = 1.0 if layer == n else share
        where = {'lens': name, 'layer': layer, **network}
        yield Row('lens_agreement', share, where)
        yield Row('lens_divergence', 8 * (1 - share), where)
        yield Row('lens_bits', 4 + 9 * (1 - share), where)

  blocks = range(1, n + 1)
  found = {f'{name}-lens': list(lens(name, late)) for name, late in
           zip(LENSES, (0.3, 0.15, 0.0))}
  found['contributions'] = [
    Row(metric, value * (0.2 if network else 1),
        {'layer': layer, 'part': part, **network})
    for network in ({}, {'network': 'random'})
    for part, size in (('mixer', 0.5), ('feed-forward', 0.8), ('both', 1.0))
    for layer in blocks
    for metric, value in (
      ('contribution_norm', size * (0.2 + math.exp(-6 * layer / n))),
      ('contribution_cosine', 0.3 - 0.6 * layer / n))]
  found['linearity'] = [
    Row(metric, value, {'layer': layer, 'scored': 'held-out'})
    for layer in blocks
    for metric, value in (('linearity', 0.99), ('linearity_of_change', 0.5))]
  found['similarity'] = [
    Row('cka', math.exp(-abs(a - b) / n), {
      'layer': a, 'other_layer': b, 'dimensions': 'all'})
    for a in range(n + 1) for b in range(n + 1)]
  found['dimension'] = [
    Row('two_nearest_dimension', 8 + 12 * math.sin(math.pi * layer / n),
        {'layer': layer}) for layer in range(n + 1)]
  found['skipping'] = [
    Row(metric, value, {'layer': layer}) for layer in blocks
    for metric, value in (('skip_agreement', 0.4 if layer in needed else 0.95),
                          ('skip_bits', 2.0 if layer in needed else 0.02))]
  found['effective-depth'] = [
    Row('participation', 0.6 * n, {}), Row('participation_share', 0.6, {}),
    Row('overlap_depth', 0.8 * n, {})]
  found['head-scores'] = [
    Row('induction_score', float((layer, head) == (2, 1)),
        {'layer': layer, 'head': head})
    for layer in blocks for head in range(3)]
  found['novelty'] = [
    *(Row('novelty', layer / k, {'layer': layer, 'mystery': f'k{k}'})
      for k in (1, 2) for layer in blocks), Row('novelty_in_all', 3.25, {}),
    *(Row('novelty_of_parts', 10.0 * layer + head, {
      'layer': layer, 'head': head, 'part': 'head'})
      for layer in blocks for head in range(2)),
    *(Row('novelty_of_parts', float(layer), {'layer': layer, 'part': 'mixer'})
      for layer in blocks),
    Row('novelty_of_parts', 77.5, {'part': 'embedding'})]
  return found


def table(**options):
  return examination.table(rows(**options))


def by_n(depths=(1, 2, 4, 8), seeds=3, **options):
  """Runs of two arms, by layer count and seed."""
  return pl.concat([
    examination.table(rows(n, needed=(1,), **options)).select(
      pl.lit('text').alias('stratum'), pl.lit(arm).alias('arm'),
      pl.lit(n).alias('n_layers'), pl.lit(seed).alias('seed'),
      pl.lit(0).alias('instance'), pl.lit(f'{arm}{n}{seed}').alias('run'),
      pl.all().exclude('value'), pl.col('value') + 0.001 * seed)
    for arm in ('plain', 'looped') for n in depths for seed in range(seeds)])


def slices(positions=12, n=6):
  """The words in turn; ranks that fall to 1 at the last layer."""
  count = len(WORDS)

  def word(lens, layer, position):
    return (position + (layer == n) + lens * (layer < n)) % count

  candidates = [sorted({word(lens, layer, position) for lens in range(3)
                        for layer in range(n + 1)} | {(position + 5) % count})
                for position in range(positions)]
  return {
    'tokens': [WORDS[p % count] for p in range(positions)],
    'targets': [WORDS[(p + 1) % count] for p in range(positions)],
    'layers': n, 'lenses': list(LENSES), 'words': WORDS,
    'top': [[[word(lens, layer, p) for p in range(positions)]
             for layer in range(n + 1)] for lens in range(3)],
    'probability': [[[round(0.05 + 0.9 * layer / n * (p + 1) / positions, 4)
                      for p in range(positions)]
                     for layer in range(n + 1)] for lens in range(3)],
    'candidates': candidates,
    'ranks': [[[[1 if word(lens, layer, p) == one else
                 2 + (one + lens) * 7 ** min(n - layer, 4)
                 for layer in range(n + 1)] for one in candidates[p]]
               for p in range(positions)] for lens in range(3)]}
