"""What is measured: how far a model is from the exact probabilities.

Excess is the cross-entropy of the model's prediction under the exact
probabilities of the next token, less their entropy: the Kullback-Leibler
divergence, in nats per token. No target is drawn, so there is little noise; the
texts that are read are held out, and the same for every run of a chain.

The excess among old tokens leaves what is given to new tokens aside: the model
is asked for the next token given that it is an old one. It says whether old
rules are forgotten, or new tokens expected where there are none.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

import data
import model
from data.batch import Instance
from data.sources.mixture import MixtureConfig
from data.sources.new_tokens import NewTokens, NewTokensConfig
from experiments.runs.subject import Row, Subject
from model import ModelConfig

TEXTS = 512


def measure(run: Subject) -> list[Row]:
  """Excess on old text, and on new text where the run has read any."""
  source = run.config.data.source
  read = [part.source for part in source.parts] if isinstance(
    source, MixtureConfig) else [source]
  chains = {each.text: each for each in read
            if isinstance(each, NewTokensConfig)}
  own = next(iter(chains.values()))
  new = chains.get('new')
  where = {'similarity': new.similarity, 'share': new.share} if new else {}
  rows = []
  for chain in (dataclasses.replace(own, text='old'), *([new] if new else [])):
    found = excess(run, chain)
    rows += [Row(f'{chain.text}_{name}', float(value), where)
             for name, value in found.items()]
  return rows


def excess(run: Subject, chain: NewTokensConfig) -> dict[str, jax.Array]:
  """How far a model is from one of the texts, and the text's entropy."""
  # What differs between texts stands in the instance, so one program serves.
  plain = data.opened(NewTokensConfig(
    new_tokens=chain.new_tokens, length=chain.length))
  instance = data.opened(chain).instance(run.config.data.seed)
  assert isinstance(plain, NewTokens)
  found: dict[str, jax.Array] = _excess(run.config.model, plain, run.params,
                                        instance)
  return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _excess(config: ModelConfig, source: NewTokens, params: Any,
            instance: Instance) -> dict[str, jax.Array]:
  tokens_BT = source.batch(instance, 0, 'validation', 0, TEXTS).tokens_BT
  logits_BTV = model.apply(config, params, tokens_BT).logits_BTV
  exact_BTV = jnp.asarray(instance['transition_VV'])[tokens_BT]
  entropy = _cross_entropy(exact_BTV, jnp.log(jnp.maximum(exact_BTV, 1e-30)))
  is_old_V = jnp.arange(source.vocab_size) < source.first_new
  among_BTV = jnp.where(is_old_V, exact_BTV, 0)
  among_BTV /= among_BTV.sum(-1, keepdims=True)
  among = _cross_entropy(among_BTV, jax.nn.log_softmax(
    jnp.where(is_old_V, logits_BTV, -1e9)))
  least = _cross_entropy(among_BTV, jnp.log(jnp.maximum(among_BTV, 1e-30)))
  return {
    'excess': _cross_entropy(exact_BTV, jax.nn.log_softmax(logits_BTV))
    - entropy,
    'excess_among_old': among - least, 'entropy': entropy}


def _cross_entropy(exact_BTV: jax.Array, logs_BTV: jax.Array) -> jax.Array:
  """Nats per token."""
  return -(exact_BTV * logs_BTV).sum(-1).mean()
