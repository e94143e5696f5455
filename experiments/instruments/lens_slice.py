"""What every lens says at each layer and token of a text, to be explored.

Plain JSON: the likeliest word of each cell, and of each position's candidates
the rank at every layer. Published as the way to look at lenses by
nostalgebraist (2020); candidates are what a reader would ask for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.instruments import jacobian_lens, lens, linear_lens
from experiments.instruments.instrument import Given
from experiments.instruments.lens import Transport
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages

TOKENS = 64
LIKELIEST = 5  # of the last layer, which are candidates

TRANSPORTS: Mapping[str, Callable[[Given], Transport]] = {
  'logit': lens.identity, 'linear': linear_lens.transport,
  'jacobian': jacobian_lens.transport}


def read(given: Given, lenses: Sequence[str],
         tokens: int = TOKENS) -> dict[str, Any]:
  """The first tokens of the first window, through some lenses.

  Args:
    given: its network has logits.
    lenses: some of TRANSPORTS, fitted or to be fitted.
    tokens: at most.

  Returns:
    tokens, targets: of each position, as text; a target that is not there is
      ''.
    layers: n.
    lenses: as given.
    words: those that occur below, by index.
    top, probability: [lens][layer 0 to n][position], the likeliest word and its
      probability.
    candidates: [position], words: the likeliest of any lens and layer, the
      target, and the last layer's five likeliest.
    ranks: [lens][position][candidate][layer 0 to n], from 1.
  """
  passages, length = _beginning(given.passages, tokens)
  network = given.network
  stream_NTD = lens.streams(network, passages).stream_NTD[:, :length]
  transports = [given.once(TRANSPORTS[name]) for name in lenses]
  n_layers = network.config.n_layers
  ids_T, targets_T = passages.tokens_BT[0], passages.targets_BT[0]
  has_target_T = given.passages.weights_BT[0, :length] > 0

  top = [[_likeliest(network, transport, layer, stream_NTD[layer])
          for layer in range(n_layers + 1)] for transport in transports]
  top_T5 = np.asarray(_top(network, stream_NTD[-1]))
  candidates = [
    list(dict.fromkeys([
      *map(int, top_T5[place]),
      *([int(targets_T[place])] if has_target_T[place] else []),
      *(int(ids[place]) for layers in top for ids, _ in reversed(layers))]))
    for place in range(length)]
  ranks = [[_ranks(np.asarray(_logits(network, transport, layer,
                                      stream_NTD[layer])), candidates)
            for layer in range(n_layers + 1)] for transport in transports]

  used = sorted({index for own in candidates for index in own})
  place_of = {index: place for place, index in enumerate(used)}
  spell = given.tokenizer.token if given.tokenizer else str
  return {
    'tokens': [spell(int(index)) for index in ids_T[:length]],
    'targets': [spell(int(index)) if there else ''
                for index, there in zip(targets_T, has_target_T)],
    'layers': n_layers,
    'lenses': list(lenses),
    'words': [spell(index) for index in used],
    'top': [[[place_of[int(index)] for index in ids] for ids, _ in layers]
            for layers in top],
    'probability': [[[round(float(p), 4) for p in shares]
                     for _, shares in layers] for layers in top],
    'candidates': [[place_of[index] for index in own] for own in candidates],
    'ranks': [[np.stack([layer[place] for layer in layers], axis=1).tolist()
               for place in range(length)] for layers in ranks],
  }


def _beginning(passages: Passages, tokens: int) -> tuple[Passages, int]:
  """The first window with its first tokens scored, and how many they are."""
  first = Passages(*(x[:1] for x in passages))
  length = min(tokens, int(first.valid_BT.sum()))
  scored_T = np.arange(first.tokens_BT.shape[1]) < length
  return first._replace(weights_BT=scored_T[None].astype(np.float32)), length


_logits = jax.jit(lens.logits)


@jax.jit
def _likeliest(network: Network, transport: Transport, layer: jax.Array,
               x_TD: jax.Array) -> tuple[jax.Array, jax.Array]:
  logits_TV = lens.logits(network, transport, layer, x_TD)
  likely_T = jnp.argmax(logits_TV, axis=1)
  highest_T = jnp.max(logits_TV, axis=1)
  return likely_T, jnp.exp(highest_T - jax.nn.logsumexp(logits_TV, axis=1))


@jax.jit
def _top(network: Network, x_TD: jax.Array) -> jax.Array:
  logits_TV = network.unembed(x_TD[None])[0]
  return jax.lax.top_k(
    logits_TV, min(LIKELIEST, network.config.vocab_size))[1]


def _ranks(logits_TV: np.ndarray,
           candidates: Sequence[Sequence[int]]) -> list[np.ndarray]:
  """From 1; words that score alike share the better rank."""
  found = []
  # NumPy sorts a vocabulary several times faster than XLA:CPU.
  for logits_V, own in zip(logits_TV, candidates):
    sorted_V = np.sort(logits_V)
    above = len(sorted_V) - np.searchsorted(sorted_V, logits_V[own], 'right')
    found.append(above + 1)
  return found
