"""What each layer's stream tells a reader, linear or not: description length.

Features are the first principal components of a layer, whitened, and as many
for every layer and network. Both ends of the code have the features, so these
are fitted on all examples; labels are never seen before they are sent.
"""

from collections.abc import Sequence

import jax
import numpy as np

from experiments.instruments import codelength, probe, properties
from experiments.instruments.codelength import READERS
from experiments.instruments.instrument import Given, Instrument
from experiments.instruments.network import forward_flops
from experiments.instruments.properties import Property
from experiments.runs.subject import Row
from model import ModelConfig

EXAMPLES = 1024
FEWEST = 32  # examples, for which less would be said than it costs
SEED = 0  # of the order of the examples and of the control tasks


def measure(given: Given) -> list[Row]:
  """Reads the properties of the text off every layer.

  Returns:
    `description_bits` and `probe_accuracy` by property, layer and probe
    ('linear', 'mlp'), for the network, its baseline and (task='control') for
    control tasks; `selectivity`: accuracy minus that of the control task;
    `description_gap`: (bits of 'linear' - bits of 'mlp') / bits of the classes'
    frequencies alone; `label_bits`: the last. No rows where the text has too
    few examples, none of a property that hardly varies.
  """
  chosen = properties.examples(given.passages, EXAMPLES, SEED)
  if len(chosen.row_B) < FEWEST:
    return []
  rng = np.random.default_rng(SEED)
  asked = properties.of(chosen, given.tokenizer)
  if not asked:
    return []
  control = [each.control(rng) for each in asked]
  own = features(properties.streams(given.network, chosen))
  baseline = features(properties.streams(given.baseline, chosen))
  return [*(Row('label_bits', each.bits, {'property': each.name})
            for each in asked),
          *compared(asked, own, control),
          *_rows(asked, _read(baseline, asked), {'network': 'random'})]


def compared(asked: Sequence[Property], x_NBD: jax.Array,
             control: Sequence[Property]) -> list[Row]:
  """Rows of one network, with what its readers and control tasks differ by."""
  real, arbitrary = _read(x_NBD, asked), _read(x_NBD, control)
  rows = _rows(asked, real, {}) + _rows(asked, arbitrary, {'task': 'control'})
  for layer, index in np.ndindex(len(x_NBD), len(asked)):
    where = {'layer': layer, 'property': asked[index].name}
    bits = {reader: real[reader].bits[layer, index] for reader in READERS}
    rows.append(Row('description_gap', float(
      (bits['linear'] - bits['mlp']) / asked[index].bits), where))
    rows += [Row('selectivity', float(
      real[reader].accuracy[layer, index]
      - arbitrary[reader].accuracy[layer, index]), {**where, 'probe': reader})
             for reader in READERS]
  return rows


@jax.jit
def features(x_NBD: jax.Array) -> jax.Array:
  """Each layer's principal components, whitened, as many for each."""
  return jax.lax.map(lambda x_BD: probe.fit_whitening(x_BD)(x_BD), x_NBD)


def _read(x_NBD: jax.Array,
          asked: Sequence[Property]) -> dict[str, codelength.Code]:
  """Codes by reader, (layers, properties) each."""
  label_PB, classes_P = properties.labels(asked)
  return {reader: jax.tree.map(np.asarray, codelength.codes(
    x_NBD, label_PB, classes_P, properties.CLASSES, reader))
          for reader in READERS}


def _rows(asked: Sequence[Property], read: dict[str, codelength.Code],
          places: dict[str, str]) -> list[Row]:
  return [
    Row(metric, float(values[layer, index]),
        {'layer': layer, 'property': each.name, 'probe': reader, **places})
    for reader, code in read.items()
    for metric, values in (('description_bits', code.bits),
                           ('probe_accuracy', code.accuracy))
    for index, each in enumerate(asked) for layer in range(len(values))]


def flops(config: ModelConfig, tokens: int, calibration: int) -> float:
  """Two networks are read; each layer is coded three times by both readers."""
  del calibration
  examples = min(tokens, EXAMPLES)
  width = min(config.d_model, probe.COMPONENTS)
  asked = 3 + len(properties.SPELLING)
  coded = sum(codelength.flops(examples, width, properties.CLASSES, reader)
              for reader in READERS)
  layers = config.n_layers + 1
  # An eigendecomposition takes about 9 d^3 (Golub and Van Loan, 2013).
  whitened = 9 * config.d_model**3 + 2 * examples * config.d_model**2
  return (2 * forward_flops(config, examples) + 2 * layers * whitened
          + 3 * layers * asked * coded)


INSTRUMENT = Instrument(
  name='probes',
  title='What a reader can tell from each layer',
  says='A small reader is asked what the text says of its own tokens: the '
       'fewer bits, the more plainly the layer holds it. What only the reader '
       'with a hidden layer finds is there, but not along straight lines.',
  source='Voita and Titov, 2020; Hewitt and Liang, 2019',
  measure=measure, flops=flops,
  metrics={
    'description_bits': 'bits an example',
    'probe_accuracy': 'share that is right',
    'selectivity': 'share right, minus that of a control task',
    'description_gap': 'bits that a hidden layer saves, of the label’s own',
    'label_bits': 'bits an example of the classes alone'})
