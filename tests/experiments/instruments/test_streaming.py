"""A streamed pass is the whole model's, and what it holds is seen."""

import jax
import numpy as np

from experiments.claims.exact import layer
from experiments.instruments import streaming
from experiments.runs.store import PARAMS, Store


def test_streaming_is_exact_and_loading_all_is_seen(tmp_path):
  config = layer.config(n_layers=8, d_model=128, vocab_size=2048)
  store = Store(tmp_path)
  store.keep_params('model', jax.device_get(layer.draw(config, 0)))
  weights = streaming.of_file(store.run('model') / PARAMS)
  tokens_BT = np.random.default_rng(0).integers(2048, size=(1, 16))

  def rounded(*given):
    return streaming.stream(*given).astype(np.float16).astype(np.float32)

  def measured(run):
    rows = streaming.compared(config, weights, tokens_BT, run)
    return {row.metric: row.value for row in rows if not row.where}, rows

  streamed, rows = measured(streaming.stream)
  loaded, _ = measured(streaming.whole)
  assert streamed['bits_that_differ'] == 0
  assert measured(rounded)[0]['bits_that_differ'] > 0
  assert streamed['bytes_in_memory_over_allowed'] <= 1
  assert loaded['bytes_in_memory_over_allowed'] > 1
  assert streamed['share_of_the_model_in_memory'] < 0.5
  assert loaded['share_of_the_model_in_memory'] >= 1
  without = [row for row in rows if row.metric == 'change_without_it']
  assert [row.where['layer'] for row in without] == list(range(8))
  assert all(row.value > 1e-3 for row in without)
