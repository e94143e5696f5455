"""Linearity: how far a block is one matrix, with its residual and without.

Streams l - 1 and l are centred and scaled to Frobenius norm 1, and the score is
1 - min_A ||X A - Y||^2 (Razzhigaev et al., 2024). Near 1 it says little by
itself: with the residual, Y is X and what the block adds, and what is added is
short. The best matrix to what is added leaves the same error, which then counts
against the length of what was added: that is the score without the residual.

Both are given in-sample, as published, and held out: fitted by a ridge on half
of the windows, and on other text too, and scored on the others.
In-sample, V points in D dimensions score D / V of what is pure noise, and 1
where V <= D; where there are few points for each dimension there is no row.
"""

import jax

from experiments.instruments import blocks, linear_map
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.runs.subject import Row


@jax.jit
def _sums(network: Network, passages: Passages) -> linear_map.Sums:
  found: linear_map.Sums = blocks.each(
    network, passages, lambda x_BTD, y_BTD: linear_map.sums(
      x_BTD, y_BTD - x_BTD, passages.valid_BT))
  return found


def measure(given: Given) -> list[Row]:
  """Scores by block, of the model and of a random one."""
  return linear_map.rows(given, _sums, {'linearity': 'y_D',
                                        'linearity_of_change': 'z_D'})


INSTRUMENT = Instrument(
  name='linearity',
  title='How close is each layer to one matrix?',
  says='1: the stream behind a layer is a linear function of the stream before '
       'it. That is near 1 wherever a layer adds little; the linearity of what '
       'it adds is the harder test. Held out: the matrix was fitted on other '
       'words than it is scored on. With few words for each dimension, '
       'in-sample values are too high and held-out ones too low; the random '
       'network shows how much.',
  source='Razzhigaev et al., 2024',
  measure=measure, flops=linear_map.flops,
  metrics={'linearity': 'variance of the stream that a matrix explains',
           'linearity_of_change': 'variance of what is added that it explains'},
  default=True)
