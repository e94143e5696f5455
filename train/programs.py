"""The compiled programs that train and evaluate an ensemble of replicas.

Runs that differ only in traced fields share a `Program`: one compilation, with
their values stacked along R and sharded over the mesh's replica axis.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import data
import model
from data.batch import Batch, Instance, Source
from model import Layout, backend
from train import feeds, fitting, placement, replica, writing
from train.config import Config
from train.optimizer import Hyper
from train.replica import State


class Program(NamedTuple):
  """Compiled on first use; each argument and result leads with R.

  Attributes:
    init: (hyper) → state.
    begin: (hyper, params) → state: from other parameters than random ones.
    params: (state) → the parameters of the model.
    chunk: (state, count, hyper, instance) → state, {loss, grad_norm} of shape
      (chunk_steps, R), filled up to `count`.
    evaluate: (params, instance, split) → sums of shape (batches, R, groups).
  """

  init: jax.stages.Wrapped
  begin: jax.stages.Wrapped
  params: Callable[[State], Any]
  chunk: Any  # jax.stages.Wrapped, but under pmap
  evaluate: jax.stages.Wrapped


def shape(config: Config) -> Config:
  """The config with its traced fields at their defaults.

  Runs with equal shapes can share one compiled program.
  """
  neutral: Config = _neutral(config)
  return neutral


def _neutral(part: Any) -> Any:
  if isinstance(part, tuple):
    return tuple(map(_neutral, part))
  if not dataclasses.is_dataclass(part):
    return part
  return dataclasses.replace(part, **{  # type: ignore[type-var]
    f.name: f.default if f.metadata.get('role') == 'traced'
    else _neutral(getattr(part, f.name)) for f in dataclasses.fields(part)})


def source_of(config: Config) -> Source:
  """Where a run's batches come from; opened once for all that share it.

  Raises:
    InputError: as `data.batch.SourceConfig.open`.
  """
  return data.opened(shape(config).data.source)


def others_of(config: Config) -> dict[str, Any]:
  """The further `Source`s that a run is evaluated on, by name.

  Raises:
    InputError: as `data.evaluation_sources`.
  """
  return dict(data.evaluation_sources(shape(config).data))


def complete(config: Config) -> Config:
  """Fills the model's sizes that the data source decides.

  Raises:
    ConfigError: another source that it is evaluated on does not fit them.
  """
  source = source_of(config)
  sized = model.complete(config.model, vocab_size=source.vocab_size,
                         max_length=source.length)
  fitting.check_sources(sized, others_of(config))
  return dataclasses.replace(config, model=sized)


def hyper(configs: Sequence[Config]) -> dict[str, np.ndarray]:
  """The traced values of each run, stacked: every entry has shape (R,)."""
  values = {
    'seed': np.array([c.train.seed for c in configs], np.uint32),
    'init_scale': np.array([c.model.init_scale for c in configs], np.float32),
  }
  for name in ('learning_rate', 'weight_decay'):
    values[name] = np.array([getattr(c.train, name) for c in configs],
                            np.float32)
  return values


def own_source(config: Config, name: str = '') -> Source:
  """The source of a run's constants, which its traced fields shape.

  Args:
    config: the run's.
    name: of a source that it is evaluated on; '' for its own.

  Raises:
    InputError: as `data.batch.SourceConfig.open`.
  """
  if name:
    return dict(data.evaluation_sources(config.data))[name]
  return data.opened(config.data.source)


def instances(configs: Sequence[Config], name: str = '',
              initial: Sequence[Callable[[], Any]] = ()
              ) -> tuple[Instance, bool]:
  """The data constants of each run, and whether all runs share them.

  Shared constants (a corpus, above all) are passed once, without R.

  Args:
    configs: one for each run.
    name: of a source that they are evaluated on; '' for their own.
    initial: for each run, what gives the parameters that it starts from, where
      its source has them write.
  """
  sources = [own_source(c, name) for c in configs]
  if initial and data.writes(sources[0]):
    wrote = [writing.instance(*run) for run in zip(configs, sources, initial)]
    return jax.tree.map(lambda *x: np.stack(x), *wrote), False
  runs = list(zip(sources, (c.data.seed for c in configs)))
  built = {run: run[0].instance(run[1]) for run in set(runs)}
  if len(built) == 1:
    return built[runs[0]], True
  return jax.tree.map(lambda *x: np.stack(x), *(built[r] for r in runs)), False


@functools.cache
def build(config: Config, mesh: Mesh, shared: bool,
          source: Source | None = None) -> Program:
  """The programs for one shape (see `shape`) on one mesh.

  Args:
    config: a complete config; its traced fields are not read.
    mesh: as `placement.make_mesh` built it for this config.
    shared: whether the replicas share their data constants.
    source: where batches come from; what `config.data` says when not given.

  Raises:
    ConfigError: the config does not fit the mesh.
  """
  fitting.check(config, mesh.shape)
  source = feeds.in_step(source or source_of(config))
  layout = placement.layout(mesh)
  over = 'replica' if mesh.size > 1 else None
  instance_axis = None if shared else 0

  def placed(tree: Any) -> Any:
    return jax.tree.map(jax.lax.with_sharding_constraint, tree,
                        placement.shardings(tree, mesh))

  @jax.jit
  def init(hyper: Hyper) -> State:
    replicas = jax.vmap(lambda h: replica.init(config, layout, h),
                        spmd_axis_name=over)(hyper)
    return {'step': jnp.int32(0), **placed(replicas)}

  @jax.jit
  def begin(hyper: Hyper, params: Any) -> State:
    replicas = jax.vmap(functools.partial(replica.begin, config),
                        spmd_axis_name=over)(hyper, params)
    return {'step': jnp.int32(0), **placed(replicas)}

  @jax.jit
  def merged(trained: Any, frozen: Any) -> Any:
    return placed(jax.vmap(
      functools.partial(replica.merged, config, layout),
      spmd_axis_name=over)(trained, frozen))

  def whole(state: State) -> Any:
    # What no program touches is not copied.
    return (merged(state['params'], state['frozen']) if state['frozen']
            else state['params'])

  def steps(update: Callable[..., Any], place: Callable[[Any], Any],
            replicas: Any, first: jax.Array, count: jax.Array, hyper: Hyper,
            instance: Instance) -> tuple[Any, dict[str, jax.Array]]:
    # The trip count is an input, so the last, shorter chunk of a run needs no
    # compilation of its own.
    def body(i: jax.Array, carry: Any) -> Any:
      replicas, log = carry
      replicas, metrics = update(replicas, first + i, hyper, instance)
      return place(replicas), {k: log[k].at[i].set(v)
                               for k, v in metrics.items()}

    empty = jnp.zeros((config.train.chunk_steps, *hyper['seed'].shape))
    log = {'loss': empty, 'grad_norm': empty}
    return jax.lax.fori_loop(0, count, body, (replicas, log))

  def chunk_of(update: Callable[..., Any], place: Callable[[Any], Any],
               state: State, count: jax.Array, hyper: Hyper,
               instance: Instance) -> tuple[State, dict[str, jax.Array]]:
    replicas = {k: v for k, v in state.items() if k != 'step'}
    given = (replicas, state['step'], count, hyper, instance)
    if over is None:  # one device, whose replicas need not keep step
      each = _over_replicas(functools.partial(steps, update, place),
                            (0, None, None, 0, instance_axis), over)
      replicas, log = each(*given)
      log = {k: v_RS.T for k, v_RS in log.items()}
    else:
      every = _over_replicas(update, (0, None, 0, instance_axis), over)
      replicas, log = steps(every, place, *given)
    return {'step': state['step'] + count, **replicas}, log

  if config.mesh.compile == 'pmap':
    update = functools.partial(replica.update, config, source,
                               Layout(), axis='data')
    # It wants an argument that differs, so each device is told its number.
    mapped = jax.pmap(lambda _, *rest: chunk_of(update, lambda tree: tree,
                                                *rest),
                      axis_name='data', in_axes=(0, None, None, None, None),
                      out_axes=None, devices=list(mesh.devices.flat))
    chunk: Any = functools.partial(mapped, np.arange(mesh.size))
  else:
    update = functools.partial(replica.update, config, source, layout)
    place = placed if over else lambda tree: tree
    chunk = jax.jit(functools.partial(chunk_of, update, place),
                    donate_argnums=0)

  @functools.partial(jax.jit, static_argnames='split')
  def evaluate(params: Any, instance: Instance,
               split: str) -> dict[str, jax.Array]:
    score = _over_replicas(
      functools.partial(_score, config, source, layout, split),
      (0, None, instance_axis), over)
    batches = evaluation_batches(config, source, split)
    return jax.lax.map(lambda i: score(params, i, instance),
                       jnp.arange(batches))

  return Program(init, begin, whole, chunk, evaluate)


def _over_replicas(function: Callable[..., Any], in_axes: Sequence[int | None],
                   over: str | None) -> Callable[..., Any]:
  """A function of one replica, of all of them.

  A processor takes them one after another: small models then stay in its
  cache, and products keep to two axes, which XLA:CPU computes faster than
  with an axis of one replica. Other devices take them side by side.

  Args:
    function: its arguments and results are trees of arrays.
    in_axes: for each argument, 0 where its arrays lead with R, or None.
    over: the mesh axis of R; None where there is one device.
  """
  def run(*arguments: Any) -> Any:
    counts = {len(leaf) for argument, axis in zip(arguments, in_axes)
              if axis == 0 for leaf in jax.tree.leaves(argument)}

    def one(own: Sequence[Any]) -> Any:
      each = iter(own)
      return function(*(argument if axis is None else next(each)
                        for argument, axis in zip(arguments, in_axes)))

    own = [a for a, axis in zip(arguments, in_axes) if axis == 0]
    if counts == {1}:
      alone = one(jax.tree.map(lambda leaf: leaf[0], own))
      return jax.tree.map(lambda leaf: leaf[None], alone)
    if over is None and backend.platform() == 'cpu':
      return jax.lax.map(one, own)
    return jax.vmap(one, spmd_axis_name=over)(own)

  return run


def evaluation_batches(config: Config, source: Source, split: str) -> int:
  """How many batches an evaluation takes from `split`."""
  available = source.evaluation_steps(split, config.data.batch_size)
  most = config.train.evaluation_batches
  return most if available is None else min(most, available)


def _score(config: Config, source: Source, layout: Layout, split: str,
           params: Any, step: jax.Array,
           instance: Instance) -> dict[str, jax.Array]:
  """Sums over the scored positions of one batch, by group."""
  # Every run meets the same held-out examples, so differences are paired.
  batch = source.batch(instance, 0, split, step, config.data.batch_size)
  batch = Batch(*(layout.constrain(x, 'BT'[:x.ndim]) for x in batch))
  looped = dataclasses.replace(  # compiles sooner
    config, model=dataclasses.replace(config.model, unroll=1))

  def sums(batch: Batch) -> dict[str, jax.Array]:
    found = replica.scores(looped, layout, params, batch)
    each = {'nats': found.nats_BT, 'correct': found.hit_BT,
            'weight': jnp.ones_like(found.nats_BT)}
    if source.bytes_V is not None:
      each['bytes'] = jnp.asarray(source.bytes_V,
                                  jnp.float32)[batch.targets_BT]
    return {
      name: jax.ops.segment_sum((x_BT * batch.weights_BT).sum(-1),
                                batch.group_B, len(source.groups))
      for name, x_BT in each.items()
    }

  count = config.train.microbatches
  if count == 1:
    return sums(batch)
  parts = jax.lax.map(sums, replica.microbatches(layout, count, batch))
  return jax.tree.map(lambda x: x.sum(0), parts)
