"""Whether attention goes to what matters for the next token.

What matters is found by changing it: each token of a context is replaced by
what the model itself could have put there, several times, and the change of the
log-probability of the true next token is read. Attention is weighed in several
ways; how well the two orders agree is Kendall's tau (Jain and Wallace, 2019).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from experiments.instruments import rollout
from experiments.instruments.network import Network
from experiments.instruments.passages import Passages
from experiments.instruments.rollout import Masses
from model.sites import Edit

ROUNDING = 5  # decimals of a nat; changes that differ by less are a tie


class Context(NamedTuple):
  """One place at which a model is asked what comes next.

  Attributes:
    tokens: what it has read; it is asked at the last.
    target: what comes next.
  """

  tokens: Sequence[int]
  target: int


class Found(NamedTuple):
  """What was read of one context; S is its places.

  Attributes:
    importance_RS: mean |change of log p(target)|, nats, in each of two halves
      of the draws (R = 2).
    mass_S: attention from the last place, by weighing and layers.
  """

  importance_RS: np.ndarray
  mass_S: Mapping[tuple[str, str], np.ndarray]


LAST, ALL = 'last', 'all'
WEIGHINGS = (('raw', LAST), ('raw', ALL), ('value-weighted', LAST),
             ('value-weighted', ALL), ('rollout', LAST),
             ('gradient', LAST), ('gradient', ALL))


def read(network: Network, context: Context, draws: int,
         seed: int = 0) -> Found:
  """Reads one context.

  Args:
    network: a causal model with attention.
    context: all of one length share a program.
    draws: replacements of each token, an even number.
    seed: of the draws.
  """
  tokens_BT = jnp.asarray([context.tokens], jnp.int32)
  change_RT = _changes(network, tokens_BT, context.target,
                       jax.random.key(seed), draws)
  halves_RT = np.asarray(change_RT).reshape(2, draws // 2, -1).mean(1)
  return Found(halves_RT, attention(network, context))


def attention(network: Network, context: Context
              ) -> dict[tuple[str, str], np.ndarray]:
  """(S,) what each place gets from the last, by weighing and layers."""
  masses, gradient_NS = _attention(
    network, jnp.asarray([context.tokens], jnp.int32), context.target)
  by_name = {name: np.asarray(getattr(masses, field), float)
             for field, name in rollout.NAMES.items()}
  by_name['gradient'] = np.asarray(gradient_NS, float)
  return {(name, layers): by_name[name][-1] if layers == LAST
          else by_name[name].mean(0) for name, layers in WEIGHINGS}


def agreement(mass_S: np.ndarray, importance_S: np.ndarray,
              kept_S: np.ndarray) -> float:
  """Kendall's tau-b over the places that are kept; 0 where one is constant."""
  found = scipy.stats.kendalltau(
    mass_S[kept_S], importance_S[kept_S].round(ROUNDING)).statistic
  return float(np.nan_to_num(found))


def _passages(tokens_BT: jax.Array) -> Passages:
  nothing_BT = jnp.zeros_like(tokens_BT)
  return Passages(tokens_BT, nothing_BT, nothing_BT.astype(float),
                  jnp.ones(tokens_BT.shape, bool), nothing_BT[:, 0])


def _log_p(network: Network, x_BD: jax.Array, target: Any) -> jax.Array:
  """(B,): of the target, from the stream at one place."""
  logits_BV = network.unembed(x_BD[:, None])[:, 0]
  return jax.nn.log_softmax(logits_BV)[:, target]


def _last(network: Network, tokens_BT: jax.Array) -> jax.Array:
  taps = {'resid_post': lambda x_BTD: x_BTD[:, -1]}
  return network.apply(_passages(tokens_BT), taps).taps['resid_post'][-1]


@jax.jit(static_argnums=4)
def _changes(network: Network, tokens_BT: jax.Array, target: jax.Array,
             key: jax.Array, draws: int) -> jax.Array:
  """(draws, T): |change of log p(target)| as each token is replaced."""
  tokens_T = tokens_BT[0]
  T = len(tokens_T)
  given = _passages(tokens_BT)
  logits_TV = network.apply(given).logits_BTV[0]
  # What could stand at t follows from what is before it; never what does.
  could_TV = logits_TV[:-1].at[jnp.arange(T - 1), tokens_T[1:]].set(-jnp.inf)
  drawn_RT = jax.random.categorical(key, could_TV, shape=(draws, T - 1))
  # Before the first is nothing to say what it could be: any of the others.
  first_R1 = jax.random.choice(key, tokens_T[1:], (draws, 1))
  other_RT = jnp.concatenate([first_R1, drawn_RT], axis=1)

  def changed(other_T: jax.Array) -> jax.Array:
    replaced_TT = jnp.where(jnp.eye(T, dtype=bool), other_T, tokens_T)
    return _log_p(network, _last(network, replaced_TT), target)

  whole = _log_p(network, _last(network, tokens_BT), target)
  return jnp.abs(jax.lax.map(changed, other_RT) - whole)


@jax.jit
def _attention(network: Network, tokens_BT: jax.Array, target: jax.Array
               ) -> tuple[Masses, jax.Array]:
  """(N,S) each: attention of the last place, and gradient x attention."""
  config, T = network.config, tokens_BT.shape[1]
  given = _passages(tokens_BT)
  masses = rollout.masses(network, given, lambda found: jax.tree.map(
    lambda mass_BTS: mass_BTS[0, -1], found))
  heads = config.mixer.heads()['n_heads']

  def log_p(shift_NBHTS: jax.Array) -> tuple[jax.Array, jax.Array]:
    edit = Edit(jnp.ones((config.n_layers, 1, 1, 1, 1)), shift_NBHTS)
    out = network.apply(given, {
      'attention_pattern': None, 'resid_post': lambda x_BTD: x_BTD[:, -1]},
      {'attention_pattern': edit})
    return (_log_p(network, out.taps['resid_post'][-1], target)[0],
            out.taps['attention_pattern'])

  slope_NBHTS, pattern_NBHTS = jax.grad(log_p, has_aux=True)(
    jnp.zeros((config.n_layers, 1, heads, T, T)))
  # In the last layer from the place that is asked; below it, from all.
  gradient_NS = jnp.abs((slope_NBHTS * pattern_NBHTS).sum(2)).sum((1, 2))
  return masses, gradient_NS
