"""A network that repeats what it has seen, with weights set by hand.

The circuit of Elhage et al., 2021, and Olsson et al., 2022, and nothing else:
an ordinary `model` of two layers without feed-forwards in which one head of the
first layer and one of the second do all the work. Instruments that look for
heads must find these two, exactly.
"""

import math

import jax
import numpy as np

import model
from experiments.instruments.network import Network
from model.language_model import Params

# A constant feature far larger than all others keeps the root mean square, and
# with it the norm's gain, the same at every position to one part in 10^3.
BALLAST = 100.0
SHARPNESS = 50.0  # of scores; a softmax of 0s and this is hard
CONFIDENCE = 10.0  # of logits
HEADS, GROUPS = 4, 2
# (layer, head): layers count from 1, heads from 0, as instruments' rows do.
PREVIOUS, INDUCTION = (1, 1), (2, 2)


def induction(vocabulary: int, length: int) -> Network:
  """Builds the network.

  In layer 1 the head `PREVIOUS` copies the token before each position to it. In
  layer 2 the head `INDUCTION` lets each position find where its own token was
  the one before, and copies what stands there: the token that came next the
  last time. Where the token is new, it looks at all alike. The first position,
  which has none before it, is never looked at. All other heads look at all
  positions alike and write nothing.

  Args:
    vocabulary: V.
    length: the longest input.
  """
  token, previous, answer, position, ballast = np.split(
    np.arange(3 * vocabulary + length + 1),
    np.cumsum([vocabulary, vocabulary, vocabulary, length]))
  width, d_head = len(token) * 3 + length + 1, max(length, vocabulary + 1)
  config = model.ModelConfig(
    n_layers=2, d_model=width, mixer=model.AttentionConfig(
      n_heads=HEADS, n_kv_heads=GROUPS, d_head=d_head),
    position=model.LearnedPosition(), norm='rms',
    feed_forward=model.NoFeedForward(), parameterisation='standard',
    vocab_size=vocabulary, max_length=length, unroll=1)
  params: Params = jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, np.float32),
    jax.eval_shape(lambda key: model.init(config, key), jax.random.key(0)))
  word, place = np.arange(vocabulary), np.arange(length)
  params['token_embedding']['embedding_VD'][word, token] = 1
  params['token_embedding']['embedding_VD'][:, ballast] = BALLAST
  params['position_embedding']['embedding_TD'][place, position] = 1
  # Undoes the norm's gain, and hides the ballast from the branches.
  for norm in (params['norm'], params['stack']['mixer_norm']):
    norm['scale_D'][...] = BALLAST / math.sqrt(width)
    norm['scale_D'][..., ballast] = 0
  params['unembedding']['w_DV'][answer, word] = CONFIDENCE
  mixer = params['stack']['mixer']
  sharp = SHARPNESS * math.sqrt(d_head)
  _, head = PREVIOUS
  group = head // (HEADS // GROUPS)
  mixer['w_q_DHK'][0, position[1:], head, place[:-1]] = sharp
  mixer['w_k_DGK'][0, position, group, place] = 1
  mixer['w_v_DGK'][0, token, group, word] = 1
  mixer['w_o_HKD'][0, head, word, previous] = 1
  _, head = INDUCTION
  group = head // (HEADS // GROUPS)
  mixer['w_q_DHK'][1, token, head, word] = sharp
  mixer['w_k_DGK'][1, previous, group, word] = 1
  # Against the first position, whatever it holds.
  mixer['w_q_DHK'][1, token, head, vocabulary] = sharp
  mixer['w_k_DGK'][1, position[0], group, vocabulary] = -2
  mixer['w_v_DGK'][1, token, group, word] = 1
  mixer['w_o_HKD'][1, head, word, answer] = 1
  return Network(jax.tree.map(jax.numpy.asarray, params), config)
