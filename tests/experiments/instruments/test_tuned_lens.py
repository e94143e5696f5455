"""The tuned lens: from the identity to the least divergence."""

import functools

import jax
import numpy as np

import model
from experiments.instruments import lens, tuned_lens
from experiments.instruments.instrument import Given
from experiments.instruments.lens import Scored
from experiments.instruments.network import Network
from experiments.instruments.passages import cut

WIDTH = 12
CONFIG = model.ModelConfig(n_layers=2, d_model=WIDTH, vocab_size=23, unroll=1,
                           mixer=model.AttentionConfig(n_heads=2))


@functools.cache
def network():
  return Network(jax.jit(functools.partial(model.init, CONFIG))(
    jax.random.key(0), scale=2.0), CONFIG)


def text(windows, seed):
  ids = np.random.default_rng(seed).integers(
    CONFIG.vocab_size, size=(windows, 16))
  return cut(list(ids), 16)


def test_it_begins_as_the_logit_lens():
  streams = lens.streams(network(), text(4, 1))
  begun = tuned_lens.train(network(), streams, steps=0)
  for mine, theirs in zip(lens.read(network(), streams, begun),
                          lens.read(network(), streams)):
    np.testing.assert_array_equal(mine, theirs)


def test_it_is_nearer_to_the_last_layer_on_other_text(monkeypatch, tmp_path):
  monkeypatch.setattr(tuned_lens, 'RATE', 1e-2)
  given = Given(network(), text(10, 1), calibration=text(60, 0),
                folder=tmp_path)
  rows = tuned_lens.INSTRUMENT.measure(given)
  found = [row.value for row in rows if row.metric == 'lens_divergence'
           and 'network' not in row.where]
  plain = lens.read(network(), lens.streams(network(), given.passages))
  assert found[-1] == 0
  assert found[0] < 0.8 * plain.divergence_N[0]
  assert found[1] < plain.divergence_N[1]
  assert tuned_lens.INSTRUMENT.measure(given) == rows  # trained alike, or kept


def test_it_finds_a_planted_map(monkeypatch):
  """Streams of which the last is the first turned round."""
  monkeypatch.setattr(tuned_lens, 'RATE', 2e-2)
  random = np.random.default_rng(0)
  turn_DD, _ = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))

  def examples(count):
    first_TD = 2 * random.normal(size=(count, WIDTH)).astype(np.float32)
    last_TD = (first_TD @ turn_DD).astype(np.float32)
    return Scored(np.stack([first_TD, last_TD, last_TD]),
                  np.zeros(count, np.int32), np.ones(count, np.float32))

  unseen = examples(100)
  plain = lens.read(network(), unseen).divergence_N
  found = lens.read(network(), unseen, tuned_lens.train(
    network(), examples(1000), steps=200)).divergence_N
  assert plain[0] > 0.5
  assert found[0] < 0.1 * plain[0]
  assert found[1] < 1e-3  # nothing to learn
