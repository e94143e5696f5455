"""One device and many compute the same, however the work is split."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from data import DataConfig
from data.sources.hop_string import HopStringConfig
from data.sources.pointer_chasing import PointerChasingConfig
from experiments.foresight import collectives
from model import (
  MIXERS,
  AlibiPosition,
  AttentionConfig,
  GatedFeedForward,
  LearnedPosition,
  ModelConfig,
  NoPosition,
  PlainFeedForward,
  SinusoidalPosition,
  parameterisation,
)
from train import (
  Config,
  MeshConfig,
  TrainConfig,
  cross_entropy,
  placement,
  programs,
  replica,
)
from train.trainable import Embeddings, LowRank, NewRows

STEPS = 3
REPLICAS = 8
# Adam divides a gradient by its own size, rounding errors included; with this
# epsilon a gradient near zero stays near zero, and losses and parameters can be
# compared to 1e-5.
EPSILON = 1e-3
ATTENTION = ModelConfig(
  n_layers=2, d_model=16, unroll=1,
  mixer=AttentionConfig(n_heads=16, n_kv_heads=8, d_head=2),
  feed_forward=GatedFeedForward(), unembedding='tied',
  parameterisation='standard', vocab_size=16)
BASE = Config(
  model=ATTENTION,
  data=DataConfig(HopStringConfig(length=16, symbols=5, hops=(1, 2)),
                  batch_size=8),
  train=TrainConfig(steps=STEPS, chunk_steps=STEPS, epsilon=EPSILON,
                    learning_rate=1e-2, warmup_fraction=0),
  mesh=MeshConfig(replica=1))

# Every way to share eight devices among the four axes.
MESHES = [axes for axes in itertools.product((1, 2, 4, 8), repeat=4)
          if np.prod(axes) == 8]


def changed(config=BASE, **rooms):
  return dataclasses.replace(config, **{
    room: dataclasses.replace(getattr(config, room), **fields)
    for room, fields in rooms.items()})


def fit(config, replicas=1):
  """Losses (steps, R), and the parameters after the last step."""
  members = [programs.complete(changed(config, train={'seed': seed}))
             for seed in range(replicas)]
  shape = programs.shape(members[0])
  built_mesh = placement.make_mesh(shape.mesh, replicas=replicas)
  instance, shared = programs.instances(members)
  hyper = programs.hyper(members)
  # One program makes the start of every test.
  one = placement.make_mesh(MeshConfig(replica=1), jax.devices()[:1])
  start = programs.build(changed(shape, mesh=dataclasses.asdict(
    MeshConfig(replica=1))), one, shared).init(hyper)
  built = programs.build(shape, built_mesh, shared)
  state = jax.tree.map(lambda x, where: jax.device_put(np.asarray(x), where),
                       start, placement.shardings(start, built_mesh))
  state, log = built.chunk(state, STEPS, hyper, instance)
  return np.asarray(log['loss']), jax.tree.map(np.asarray, state['params'])


def assert_close(a, b, tolerance=1e-5):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(
    x, y, rtol=0, atol=tolerance), a, b)


_one_device = {}


def assert_equals_one_device(config, replicas=1):
  alone = changed(config, mesh=dataclasses.asdict(MeshConfig(replica=1)),
                  train={'microbatches': 1})
  if (alone, replicas) not in _one_device:
    _one_device[alone, replicas] = fit(alone, replicas)
  expected = _one_device[alone, replicas]
  assert expected[0][0].max() > expected[0][-1].max()  # something was learnt
  assert_close(fit(config, replicas), expected)


def test_data_fsdp_and_tensor_at_once_equal_one_device():
  assert_equals_one_device(changed(mesh={'data': 2, 'fsdp': 2, 'tensor': 2}))


@pytest.mark.parametrize('kind', [
  LowRank(rank=2), Embeddings(), NewRows(first=10)],
  ids=lambda kind: type(kind).__name__)
def test_what_is_trained_in_part_equals_one_device(kind):
  assert_equals_one_device(changed(
    train={'trainable': kind}, mesh={'data': 2, 'fsdp': 2, 'tensor': 2}))


@pytest.mark.slow
@pytest.mark.parametrize('axes', MESHES, ids=str)
def test_every_mesh_equals_one_device(axes):
  sizes = dict(zip(placement.AXES, axes))
  assert_equals_one_device(changed(mesh=sizes), REPLICAS)


@pytest.mark.slow
@pytest.mark.parametrize(('mixer', 'changes'), [
  ('gru', {'position': LearnedPosition(), 'norm': 'rms'}),
  ('linear_recurrence', {'position': NoPosition(), 'layers': 'tied'}),
  ('convolution', {'position': SinusoidalPosition(),
                   'feed_forward': PlainFeedForward()}),
  ('dilated_convolution', {'position': LearnedPosition()}),
  ('attention', {'position': AlibiPosition(), 'unembedding': 'separate',
                 'remat': 'full'}),
])
def test_every_mixer_on_a_mesh_equals_one_device(mixer, changes):
  config = ATTENTION.mixer if mixer == 'attention' else MIXERS[mixer]()
  assert_equals_one_device(changed(
    model={'mixer': config, **changes},
    mesh={'data': 2, 'fsdp': 2, 'tensor': 2}))


def test_biases_norms_types_and_parallel_branches_equal_one_device():
  mixer = dataclasses.replace(ATTENTION.mixer, qkv_bias=True, out_bias=True,
                              qk_norm='head')
  assert_equals_one_device(changed(
    model={'mixer': mixer, 'branches': 'parallel', 'embedding_norm': True,
           'token_types': 2, 'final_norm': False, 'norm_epsilon': 1e-3},
    mesh={'data': 2, 'fsdp': 2, 'tensor': 2}))


def test_the_stream_is_gathered_once_for_all_products_that_read_it():
  """Four times a layer: what a branch reads, and the gradient of its output."""
  def gathers(n_layers):
    config = programs.complete(changed(
      model={'n_layers': n_layers, 'd_model': 32}, mesh={'tensor': 8}))
    built_mesh = placement.make_mesh(config.mesh)
    built = programs.build(programs.shape(config), built_mesh, True)
    instance, _ = programs.instances([config])
    hyper = programs.hyper([config])
    text = built.chunk.lower(jax.eval_shape(built.init, hyper), STEPS, hyper,
                             instance).compile().as_text()
    stream = 4 * 8 * 16 * 32  # float32, B T D
    return sum(one.times for one in collectives.read(text, STEPS)
               if (one.kind, one.bytes) == ('all-gather', stream)) / STEPS

  assert gathers(5) - gathers(2) <= 3 * 4


def test_a_large_model_is_drawn_where_its_parameters_live(monkeypatch):
  monkeypatch.setattr(parameterisation, 'TOGETHER', 0)
  # A program of its own: others of this shape were traced before.
  config = programs.complete(changed(model={'d_model': 32, 'base_width': 16}))
  hyper = programs.hyper([config])

  def init(**axes):
    fields = dataclasses.asdict(MeshConfig(replica=1, **axes))
    shape = programs.shape(changed(config, mesh=fields))
    devices = jax.devices()[:int(np.prod(list(axes.values())))]
    mesh = placement.make_mesh(shape.mesh, devices)
    built = programs.build(shape, mesh, True)
    return built.init.lower(hyper).compile()

  alone, split = init(data=1), init(fsdp=4, tensor=2)
  jax.tree.map(np.testing.assert_array_equal, *(
    jax.tree.map(np.asarray, compiled(hyper)) for compiled in (alone, split)))
  assert 'all-' not in split.as_text()
  held, whole = (compiled.memory_analysis() for compiled in (split, alone))
  # Vectors, such as norms, are whole everywhere.
  assert held.output_size_in_bytes < whole.output_size_in_bytes / 4
  assert held.temp_size_in_bytes < whole.temp_size_in_bytes / 4


@pytest.mark.slow
def test_sizes_that_stay_whole_equal_one_device():
  """An odd vocabulary and length are not split over `tensor`."""
  assert_equals_one_device(changed(
    model={'vocab_size': 17}, data={'source': HopStringConfig(15, 5, (1, 2))},
    mesh={'data': 2, 'tensor': 4}))


def test_pmap_equals_one_device():
  assert_equals_one_device(changed(mesh={'data': 4, 'compile': 'pmap'}))


@pytest.mark.slow
def test_pmap_with_microbatches_and_replicas_equals_one_device():
  assert_equals_one_device(changed(
    mesh={'data': 2, 'compile': 'pmap'}, train={'microbatches': 2}), 2)


# A chain of thought scores k positions of an example: uneven weights.
UNEVEN = changed(
  data={'source': PointerChasingConfig(
    symbols=7, hops=(1, 3), reasoning='chain_of_thought')},
  model={'vocab_size': 80})


@pytest.mark.parametrize('count', [2, 8])
def test_microbatches_add_up_to_one_batch(count):
  assert_equals_one_device(changed(UNEVEN, train={'microbatches': count}))


@pytest.mark.slow
@pytest.mark.parametrize('axes', [
  {'data': 2, 'fsdp': 2, 'tensor': 2}, {'replica': 2, 'data': 4},
], ids=str)
def test_microbatches_on_many_devices_equal_one_device(axes):
  assert_equals_one_device(
    changed(UNEVEN, mesh=axes, train={'microbatches': 2}), 2)


def test_microbatches_send_their_gradients_once_over_data():
  def sent(count):
    config = programs.complete(changed(
      mesh={'data': 2}, train={'microbatches': count}))
    two = placement.make_mesh(config.mesh, jax.devices()[:2])
    built = programs.build(programs.shape(config), two, True)
    hyper = programs.hyper([config])
    instance, _ = programs.instances([config])
    text = built.chunk.lower(jax.eval_shape(built.init, hyper), STEPS, hyper,
                             instance).compile().as_text()
    return sum(one.times * one.wire_bytes
               for one in collectives.read(text, STEPS))

  assert sent(4) <= sent(1)


def test_an_evaluation_takes_its_batch_in_microbatches_too():
  def evaluate(count):
    # As many examples as make activations most of what is held.
    config = programs.complete(changed(
      UNEVEN, train={'microbatches': count}, mesh={'data': 2},
      data={'batch_size': 64}))
    built_mesh = placement.make_mesh(config.mesh, jax.devices()[:2])
    built = programs.build(programs.shape(config), built_mesh, True)
    hyper = programs.hyper([config])
    instance, _ = programs.instances([config])
    lowered = built.evaluate.lower(built.init(hyper)['params'], instance,
                                   split='validation')
    compiled = lowered.compile()
    return (compiled(built.init(hyper)['params'], instance),
            compiled.memory_analysis().temp_size_in_bytes)

  (whole, most), (parts, less) = evaluate(1), evaluate(4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
               whole, parts)
  assert less < most / 2, (less, most)


def test_microbatches_count_by_the_positions_they_score():
  config = programs.shape(programs.complete(UNEVEN))
  source = programs.source_of(config)
  batch = source.batch({}, 0, 'train', 0, 8)
  batch = batch._replace(weights_BT=batch.weights_BT.at[:5].set(0))
  weight = batch.weights_BT.sum()
  params = replica.init(config, model.Layout(), {
    'seed': 0, 'init_scale': 1.0, 'weight_decay': 0.0})['params']

  def gradients(count):
    cut = changed(config, train={'microbatches': count})
    return jax.jit(lambda: replica.gradients(
      cut, model.Layout(), params, {}, batch, weight))()

  shares = replica.microbatches(model.Layout(), 4, batch).weights_BT.sum((1, 2))
  assert len(set(shares.tolist())) > 1
  assert_close(gradients(4), gradients(1))


@pytest.mark.slow
def test_microbatches_on_a_mesh_move_no_examples():
  config = changed(mesh={'data': 4}, train={'microbatches': 2})
  assert_equals_one_device(config)
  layout = placement.layout(placement.make_mesh(config.mesh))
  split = jax.jit(
    lambda x: replica.microbatches(layout, 2, replica.Batch(*[x] * 4)))
  held = jax.device_put(np.zeros((8, 4)), jax.NamedSharding(
    layout.mesh, placement.spec('BT')))
  text = split.lower(held).compile().as_text()
  assert not any(kind in text for kind in (
    'all-gather', 'all-to-all', 'all-reduce', 'collective-permute'))


@pytest.mark.slow
@pytest.mark.parametrize('sizes', [
  {}, {'data': 2, 'fsdp': 2, 'tensor': 2}], ids=str)
def test_large_vocabularies_train_the_same_without_their_logits(
    sizes, monkeypatch):
  config = changed(model={'vocab_size': 48, 'parameterisation': 'completep'},
                   mesh=sizes)
  alone = changed(config, mesh=dataclasses.asdict(MeshConfig(replica=1)))
  expected = fit(alone)
  programs.build.cache_clear()
  monkeypatch.setattr(cross_entropy, 'LARGE', 64)
  found = fit(config)
  programs.build.cache_clear()
  assert_close(found, expected)


def test_parameters_moments_and_logits_stay_float32_at_bfloat16():
  config = programs.shape(programs.complete(
    changed(model={'dtype': 'bfloat16'})))
  hyper = programs.hyper([config])
  one = placement.make_mesh(MeshConfig(replica=1), jax.devices()[:1])
  built = programs.build(config, one, True)
  state = jax.eval_shape(built.init, hyper)
  after, log = jax.eval_shape(built.chunk, state, 1, hyper, {})
  for tree in (state, after):
    dtypes = {x.dtype for x in jax.tree.leaves(tree)}
    assert dtypes == {jnp.dtype('float32'), jnp.dtype('int32')}
  assert log['loss'].dtype == jnp.float32
  params = jax.eval_shape(lambda: replica.init(
    config, model.Layout(),
    {'seed': 0, 'init_scale': 1.0, 'weight_decay': 0.0}))['params']
  tokens_BT = jax.ShapeDtypeStruct((2, 8), jnp.int32)
  out = jax.eval_shape(lambda params, tokens_BT: (
    model.apply(config.model, params, tokens_BT, taps={'resid_mid': None}),
    model.hidden(config.model, params, tokens_BT)), params, tokens_BT)
  assert out[0].logits_BTV.dtype == jnp.float32
  assert out[0].taps['resid_mid'].dtype == out[1].x_BTD.dtype == jnp.bfloat16


@pytest.mark.slow
def test_bfloat16_trains_like_float32():
  losses, _ = fit(BASE)
  rounded, _ = fit(changed(model={'dtype': 'bfloat16'}))
  np.testing.assert_allclose(rounded, losses, rtol=1e-2)
  assert not np.array_equal(rounded, losses)


def test_what_is_drawn_is_not_sent_whole_to_where_it_belongs():
  config = programs.complete(dataclasses.replace(
    BASE, model=ModelConfig(n_layers=4, d_model=64),
    mesh=MeshConfig(replica=1, fsdp=8)))
  mesh = placement.make_mesh(config.mesh)
  built = programs.build(programs.shape(config), mesh, True)
  init = built.init.lower(programs.hyper([config])).compile()
  assert 'all-gather' not in init.as_text()
