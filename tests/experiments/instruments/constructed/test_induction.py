"""The induction network does what its docstring says."""

import jax
import numpy as np

from experiments.instruments import head_scores, passages
from experiments.instruments.constructed import induction
from experiments.instruments.instrument import Given


def test_it_says_what_came_next_before():
  network = induction.induction(12, 16)
  tokens = [3, 5, 3, 7, 1, 5, 3, 7, 9, 3]
  given = passages.cut([tokens], 16)
  logits = np.asarray(jax.jit(network.apply)(given).logits_BTV[0])
  # Where a token was seen before: all that followed it, each alike.
  followed = {2: [5], 5: [3], 6: [5, 7], 7: [1], 9: [5, 7, 7]}
  for place, words in followed.items():
    share = np.bincount(words, minlength=12) / len(words)
    np.testing.assert_allclose(
      logits[place], induction.CONFIDENCE * share, atol=0.01)


def test_its_two_heads_are_found_and_no_others():
  network = induction.induction(12, 16)
  given = Given(network, passages.cut([[1, 2, 3]], 16))
  assert not head_scores.INSTRUMENT.refusal(given)
  rows = head_scores.measure(given)
  found = {metric: {(row.where['layer'], row.where['head']): row.value
                    for row in rows if row.metric == metric
                    and 'network' not in row.where}
           for metric in head_scores.INSTRUMENT.metrics}
  previous, induces = (found[name] for name in (
    'previous_token_score', 'induction_score'))
  assert previous.pop(induction.PREVIOUS) > 0.999
  assert induces.pop(induction.INDUCTION) > 0.999
  assert max(*previous.values(), *induces.values()) < 0.3
  random = [row.value for row in rows if 'network' in row.where]
  assert len(random) == 3 * 2 * induction.HEADS
  assert max(random) < 0.4


def test_a_model_without_attention_is_refused():
  import model
  config = model.ModelConfig(n_layers=1, d_model=4, vocab_size=5,
                             mixer=model.MIXERS['gru'](),
                             position=model.NoPosition())
  from experiments.instruments.network import Network
  given = Given(Network({}, config), passages.cut([[1, 2]], 2))
  assert 'gru has no attention' in head_scores.INSTRUMENT.refusal(given)
