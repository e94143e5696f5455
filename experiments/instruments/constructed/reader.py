"""A network in which attention is importance, with weights set by hand."""

import math

import jax
import numpy as np

import model
from experiments.instruments.constructed.induction import BALLAST
from experiments.instruments.network import Network
from model.language_model import Params

FOR, AGAINST, ANSWER = 0, 1, 2
STEP = 1.35  # how much more attention each place gets than the next in order
VOTES = 4.0  # logits, where all are of one mind


def reader(length: int, seed: int = 0) -> Network:
  """Builds a network of one layer and one head that counts weighed votes.

  There are three tokens: one for the answer, one against it, and the answer. A
  place's attention to another is a constant that falls by a factor from one to
  the next in a random order of places, and the answer's logit is the mean of
  the votes so weighed. So what a token matters is the attention it gets.

  Args:
    length: T; every context is so long.
    seed: of the order of places.
  """
  vote, answer, position, ballast = 0, 1, np.arange(2, 2 + length), length + 2
  width = length + 3
  config = model.ModelConfig(
    n_layers=1, d_model=width,
    mixer=model.AttentionConfig(n_heads=1, d_head=length),
    position=model.LearnedPosition(), norm='rms',
    feed_forward=model.NoFeedForward(), parameterisation='standard',
    vocab_size=3, max_length=length, unroll=1)
  params: Params = jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, np.float32),
    jax.eval_shape(lambda key: model.init(config, key), jax.random.key(0)))
  place = np.arange(length)
  table_VD = params['token_embedding']['embedding_VD']
  table_VD[[FOR, AGAINST], vote] = 1, -1
  table_VD[:, ballast] = BALLAST
  params['position_embedding']['embedding_TD'][place, position] = 1
  # Undoes the norm's gain, and hides the ballast from the branch.
  for norm in (params['norm'], params['stack']['mixer_norm']):
    norm['scale_D'][...] = BALLAST / math.sqrt(width)
    norm['scale_D'][..., ballast] = 0
  params['unembedding']['w_DV'][answer, ANSWER] = VOTES
  mixer = params['stack']['mixer']
  rank_T = np.random.default_rng(seed).permutation(length)
  mixer['w_q_DHK'][0, position, 0, 0] = math.sqrt(length)
  mixer['w_k_DGK'][0, position, 0, 0] = rank_T * math.log(STEP)
  mixer['w_v_DGK'][0, vote, 0, 0] = 1
  mixer['w_o_HKD'][0, 0, 0, answer] = 1
  return Network(jax.tree.map(jax.numpy.asarray, params), config)
