"""One update of one replica. The ensemble maps it over R; nothing here knows.

The state is a plain dict, `{step, params, frozen, opt_state, diverged}`, with
no random keys in it: everything random is a function of (seed, step). `params`
are what is trained, and `frozen` is the rest (see `train/trainable.py`).
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

import model
from data.batch import Batch, Instance, Source
from model import Layout
from train import cross_entropy, optimizer
from train.config import Config
from train.optimizer import Hyper

State = dict[str, Any]

ALIVE = -1  # `diverged` of a replica that has met no non-finite value


def init(config: Config, layout: Layout, hyper: Hyper) -> State:
  """The state before the first update; a pure function of `hyper`."""
  key = jax.random.fold_in(jax.random.key(1), hyper['seed'])
  return begin(config, hyper, model.init(
    config.model, key, hyper['init_scale'], layout))


def begin(config: Config, hyper: Hyper, params: Any) -> State:
  """The state of a model before the first update."""
  trained, frozen = config.train.trainable.split(params, hyper['seed'])
  return {
    'params': trained,
    'frozen': frozen,
    'opt_state': optimizer.direction(config, hyper).init(trained),
    'diverged': jnp.int32(ALIVE),
  }


def merged(config: Config, layout: Layout, trained: Any, frozen: Any) -> Any:
  """The parameters of the model, where they belong."""
  if not frozen:
    return trained
  return layout.parameters(config.train.trainable.merge(trained, frozen))


def scores(config: Config, layout: Layout, params: Any,
           batch: Batch) -> cross_entropy.Scores:
  """How well each position of a batch is predicted."""
  return _predict(config, layout, params, batch).scores(batch.targets_BT)


def loss(config: Config, layout: Layout, params: Any, batch: Batch,
         weight: jax.Array) -> jax.Array:
  """Nats over the scored positions of a batch, divided by `weight`."""
  return _predict(config, layout, params, batch).total(
    batch.targets_BT, batch.weights_BT) / weight


def _predict(config: Config, layout: Layout, params: Any, batch: Batch
             ) -> cross_entropy.Whole | cross_entropy.Pieces:
  """What a model says of a batch; large logits are left to be computed."""
  B, T = batch.tokens_BT.shape
  count = cross_entropy.pieces(layout, B, T, config.model.vocab_size)
  if count == 1:
    out = model.apply(config.model, params, batch.tokens_BT, layout=layout)
    return cross_entropy.Whole(out.logits_BTV)
  return cross_entropy.Pieces(layout, count, model.hidden(
    config.model, params, batch.tokens_BT, layout))


def gradients(config: Config, layout: Layout, params: Any, frozen: Any,
              batch: Batch, weight: jax.Array) -> tuple[jax.Array, Any]:
  """The loss of a batch, and its gradient, microbatch by microbatch.

  Each counts by the positions it scores, since all are divided by the same
  `weight`: however many there are, they add up to the gradient of one batch.
  """
  def one(layout: Layout, batch: Batch) -> tuple[jax.Array, Any]:
    def value_of(params: Any) -> jax.Array:
      whole = merged(config, layout, params, frozen)
      return loss(config, layout, whole, batch, weight)

    value, grads = jax.value_and_grad(value_of)(params)
    return value, layout.parameters(grads)

  count = config.train.microbatches
  if count == 1:
    return one(layout, batch)

  def accumulated(layout: Layout, batch: Batch) -> tuple[jax.Array, Any]:
    def add(carry: Any, microbatch: Batch) -> tuple[Any, None]:
      return jax.tree.map(jnp.add, carry, one(layout, microbatch)), None

    zeros = layout.parameters(jax.tree.map(jnp.zeros_like, params))
    summed, _ = jax.lax.scan(add, (jnp.float32(0), zeros),
                             microbatches(layout, count, batch))
    return summed

  return layout.summed(accumulated, batch)


def microbatches(layout: Layout, count: int, batch: Batch) -> Batch:
  """Leads with the microbatch; every one has examples of every device.

  So none moves: microbatch m has the examples m, m + count, and so on.
  """
  def split(x: jax.Array) -> jax.Array:
    x = x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1)
    return layout.constrain(x, (None, *'BT'[:x.ndim - 1]))

  return Batch(*(split(x) for x in batch))


def draw(config: Config, source: Source, layout: Layout, seed: jax.Array,
         step: jax.Array, instance: Instance, axis: str = '') -> Batch:
  """The training batch of `step`; of an axis of `pmap`, this device's share."""
  batch = source.batch(instance, seed, 'train', step, config.data.batch_size)
  if axis:
    share = config.data.batch_size // jax.lax.axis_size(axis)
    start = share * jax.lax.axis_index(axis)
    return Batch(*(jax.lax.dynamic_slice_in_dim(x, start, share)
                   for x in batch))
  return Batch(*(layout.constrain(x, 'BT'[:x.ndim]) for x in batch))


def update(config: Config, source: Source, layout: Layout, state: State,
           step: jax.Array, hyper: Hyper, instance: Instance,
           axis: str = '') -> tuple[State, dict[str, jax.Array]]:
  """Draws the batch of `step` and takes one step of AdamW on it.

  A replica whose loss or gradient is not finite keeps the parameters it had
  and notes the step; the others of its ensemble never see it.

  Args:
    config: the shape of the runs.
    source: where batches come from.
    layout: where arrays live.
    state: parameters, moments, and whether they diverged.
    step: the number of this update, from 0.
    hyper: the replica's traced values.
    instance: the constants of the source.
    axis: under `pmap`, the axis over which the batch is split.

  Returns:
    The next state, and {loss (nats), grad_norm} of this batch.
  """
  def over_devices(tree: Any) -> Any:
    return jax.lax.psum(tree, axis) if axis else tree

  batch = draw(config, source, layout, hyper['seed'], step, instance, axis)
  params = state['params']
  weight = jnp.maximum(over_devices(batch.weights_BT.sum()), 1.0)
  value, grads = over_devices(
    gradients(config, layout, params, state['frozen'], batch, weight))
  norm = optax.tree.norm(grads)
  finite = jnp.isfinite(value) & jnp.isfinite(norm)
  alive = (state['diverged'] == ALIVE) & finite
  shrink = jnp.minimum(1.0, config.train.clip_norm / (norm + 1e-6))
  grads = jax.tree.map(lambda g: jnp.where(alive, g * shrink, 0.0), grads)
  updates, opt_state = optimizer.direction(config, hyper).update(
    grads, state['opt_state'], params)
  # A dead replica's rate is 0, so it keeps the parameters it had, bit for bit.
  rate = jnp.where(alive, optimizer.learning_rate(
    config.train, hyper['learning_rate'], step), 0.0)
  first_failure = jnp.where(state['diverged'] == ALIVE, step.astype(jnp.int32),
                            state['diverged'])
  return {
    'params': jax.tree.map(lambda p, u: p - rate * u, params, updates),
    'frozen': state['frozen'],
    'opt_state': opt_state,
    'diverged': jnp.where(alive, jnp.int32(ALIVE), first_failure),
  }, {'loss': value, 'grad_norm': norm}
