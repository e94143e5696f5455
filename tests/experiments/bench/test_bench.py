import dataclasses
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import model
from data import DataConfig
from data.sources.text import TextConfig
from experiments import bench
from experiments.bench import (
  compilation,
  data_wait,
  decoding,
  minimum,
  plain,
  pmap,
  saving,
  sizes,
  stepper,
  throughput,
  turns,
)
from experiments.commands import main
from experiments.foresight import collectives, prediction
from experiments.sweeps import flags, overrides
from model import count
from train import Config, TrainConfig, placement, programs

TINY = sizes.single(Config(
  dataclasses.replace(sizes.SIZES['S'].model, n_layers=2, d_model=16,
                      vocab_size=264, unroll=1),
  DataConfig(TextConfig(length=16), batch_size=8)))


def with_mesh(**axes):
  return overrides.replace(
    TINY, {f'mesh.{axis}': n for axis, n in axes.items()})


def finite(row):
  numbers = [x for x in dataclasses.astuple(row) if isinstance(x, float)]
  return all(math.isfinite(x) and x > 0 for x in numbers)


@pytest.fixture
def quick(monkeypatch):
  """Other processes compile as fast as this one, and on as many devices."""
  monkeypatch.setenv('XLA_FLAGS', '--xla_backend_optimization_level=0')


def test_names_on_the_command_line_are_those_that_are_measured():
  assert tuple(sizes.SIZES) == bench.SIZES
  assert set(throughput.AIMS) == set(bench.SIZES)


@pytest.mark.parametrize(('argument', 'says'), [
  ('--parts=speed', 'scaling'), ('--sizes=XL', 'S, M, L'),
  ('train', 'one name too many')])
def test_bad_usage_is_exit_code_2(argument, says, capsys):
  with pytest.raises(SystemExit) as ending:
    main.main(['bench', argument])
  assert ending.value.code == 2
  assert says in capsys.readouterr().err.replace('|', ', ')


def test_arguments_carry_a_config_to_another_process():
  config = with_mesh(data=2, compile='pmap')
  texts, rest = flags.split(sizes.arguments(config))
  assert rest == []
  assert overrides.replace(Config(),
                           overrides.parse(Config(), texts)) == config


@pytest.mark.parametrize('name', list(sizes.SIZES))
def test_plain_jax_has_as_many_parameters_as_ours(name):
  config = sizes.single(sizes.SIZES[name]).model
  shapes = jax.eval_shape(lambda: plain.init(config, jax.random.key(0)))
  theirs = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert theirs == count.parameters(config).total


def as_plain(ours, n):
  """Our parameters in the peer's arrangement."""
  def norm(part):
    return {'scale_D': part['scale_D'], 'bias_D': part['b_D']}

  def layer(i):
    block = jax.tree.map(lambda x: x[i], ours['stack'])
    mixer, ffn = block['mixer'], block['ffn']
    width = mixer['w_q_DHK'].shape[0]
    qkv = [mixer[key].reshape(width, -1)
           for key in ('w_q_DHK', 'w_k_DGK', 'w_v_DGK')]
    return {'norm_1': norm(block['mixer_norm']),
            'norm_2': norm(block['ffn_norm']),
            'w_qkv_DE': jnp.concatenate(qkv, -1),
            'w_out_DD': mixer['w_o_HKD'].reshape(-1, width), **ffn}

  return {
    'token_VD': ours['token_embedding']['embedding_VD'],
    'position_TD': ours['position_embedding']['embedding_TD'],
    'layers': [layer(i) for i in range(n)], 'norm': norm(ours['norm']),
    'w_DV': ours['unembedding']['w_DV']}


@pytest.mark.parametrize(('dtype', 'tolerance'), [
  ('float32', 2e-5), ('bfloat16', 0.15)])
def test_plain_jax_computes_the_function_that_ours_does(dtype, tolerance):
  config = dataclasses.replace(TINY.model, dtype=dtype)
  rng = np.random.default_rng(0)
  ours = jax.tree.map(
    lambda x: x + rng.normal(0, 0.1, x.shape).astype(np.float32),
    jax.jit(lambda: model.init(config, jax.random.key(0)))())
  tokens_BT = rng.integers(0, config.vocab_size, (2, 16)).astype(np.int32)
  logits_BTV = jax.jit(lambda ours: plain.logits(
    config, as_plain(ours, config.n_layers), tokens_BT))(ours)
  expected = jax.jit(lambda ours: model.apply(
    config, ours, tokens_BT).logits_BTV)(ours)
  np.testing.assert_allclose(logits_BTV, expected, atol=tolerance)


def test_plain_jax_learns():
  config = dataclasses.replace(TINY, train=TrainConfig(learning_rate=1e-2))
  training = stepper.Plain(config)
  first = stepper.answer(training, 'steps 1')['loss']
  assert first == pytest.approx(math.log(264), abs=0.3)
  assert stepper.answer(training, 'steps 60')['loss'] < first - 1


# How far the bytes that XLA's compiler for the CPU has devices send may lie
# from the minimum without a reduce-scatter. Under tensor it sums the gradients
# of queries, keys and values after reducing each.
@pytest.mark.parametrize(('axes', 'least', 'most'), [
  ({'data': 8}, 1, 1.001), ({'fsdp': 8}, 0.8, 1.1),
  ({'data': 2, 'tensor': 4}, 1, 1.5)])
def test_compiled_programs_send_what_their_layout_needs(axes, least, most):
  # As large as size S, where what is left out of the minimum counts little.
  config = overrides.replace(with_mesh(**axes), {
    'model.n_layers': 1, 'model.d_model': 64, 'model.vocab_size': 512,
    'model.max_length': 64, 'data.source.length': 64, 'data.batch_size': 32})
  mesh = placement.make_mesh(config.mesh)
  source = prediction.abstract_source(config, 2**12)
  text = prediction.lower(config, mesh, source).compile().as_text()
  sent = sum(t.wire_bytes for t in collectives.totals(
    collectives.read(text)).values())
  minimal = minimum.wire_bytes(config, mesh, scatters=False)
  assert least * minimal <= sent <= most * minimal


def test_the_minimum_is_what_the_papers_say():
  def sent(config, **axes):
    config = overrides.replace(
      config, {f'mesh.{axis}': n for axis, n in axes.items()})
    return minimum.wire_bytes(config, placement.make_mesh(
      config.mesh, replicas=config.mesh.replica))

  counts = count.parameters(TINY.model)
  parameters = 4 * counts.total
  whole = 4 * TINY.model.n_layers * TINY.model.ff_width  # b_up: it has no D
  layers = 4 * counts.stack - whole
  assert sent(TINY) == sent(TINY, replica=8) == 0
  assert sent(TINY, data=8) == pytest.approx(2 * 7 / 8 * parameters)
  # Rajbhandari et al., 2020: half as much again as data parallelism.
  assert sent(TINY, fsdp=8) == pytest.approx(
    3 * 7 / 8 * layers + 2 * 7 / 8 * (parameters - layers))
  # Korthikanti et al., 2022: four reductions of the stream for each layer,
  # beside the gradients of norms and of the bias that writes to the stream.
  deeper = overrides.replace(TINY, {'model.n_layers': 3})
  stream = 4 * TINY.data.batch_size * TINY.model.max_length * TINY.model.d_model
  vectors = 4 * 5 * TINY.model.d_model
  assert sent(deeper, tensor=4) - sent(TINY, tensor=4) == pytest.approx(
    2 * 3 / 4 * (4 * stream + vectors))


def test_contestants_take_turns_for_as_long_as_each_other():
  calls = []

  def contestant(name, seconds):
    def take(steps):
      calls.append((name, steps))
      slower = (len(calls) + 1) // 2  # as the machine is in this round
      return steps * seconds * slower
    return take

  times = turns.measure(
    {'a': contestant('a', 0.01), 'b': contestant('b', 0.02)}, least=2.0)
  assert {len(seconds) for seconds in times.values()} == {turns.ROUNDS}
  # What each took first tells how many steps make a chunk.
  rounds = [dict(calls[i:i + 2]) for i in range(2, len(calls), 2)]
  assert all(set(turn) == {'a', 'b'} for turn in rounds)
  assert {next(iter(turn)) for turn in rounds} == {'a', 'b'}
  assert all(turn == {'a': 40, 'b': 20} for turn in rounds)
  assert turns.ratio(times, 'b', 'a') == pytest.approx(2)


def test_a_program_that_no_run_would_unroll_is_compiled_once():
  row, = compilation.measure(TINY, [2])
  assert finite(row)
  assert row.default == row.scanned  # two compilations would differ


def test_waiting_and_working_are_parts_of_a_streamed_run(tmp_path):
  corpus = data_wait.prepare(tmp_path, words=20_000)
  config = dataclasses.replace(
    TINY, train=TrainConfig(steps=40, chunk_steps=10))
  start = time.perf_counter()
  row = data_wait.measure(config, corpus, tmp_path / 'run')
  assert finite(row)
  assert row.first <= row.wait
  assert row.step + row.wait < time.perf_counter() - start
  assert programs.source_of(overrides.replace(
    config, {'data.source.text_path': str(corpus)})).streams


def test_a_save_is_counted_against_the_interval(tmp_path):
  row = saving.measure(TINY, chunk=2, saves=2, folder=tmp_path)
  assert row.pause > 0
  assert row.size == 12 * count.parameters(TINY.model).total
  # The loop was asked for saves that it then made.
  assert len(list((tmp_path / 'checkpoints').iterdir())) == 2
  clear = dataclasses.replace(row, pause=0.5, delay=0.5, error=0.1, step=1.0)
  assert clear.share(1) == 0.5
  assert clear.share(99) == 0.01
  assert (clear.verdict(99), clear.verdict(9)) == ('reached', 'NOT reached')
  # Neither would follow from numbers that vary as much as these.
  unsteady = dataclasses.replace(clear, delay=-9.0, error=9.0)
  assert unsteady.verdict(99).startswith('not decided')


@pytest.mark.slow
@pytest.mark.usefixtures('quick')
def test_processes_measure_side_by_side(monkeypatch):
  monkeypatch.setattr(throughput.process, 'cores', lambda: [0])
  monkeypatch.setattr(throughput.process, 'accelerator_installed', lambda: True)
  small = overrides.replace(TINY, {'model.n_layers': 1})
  rows = throughput.measure(small, 0.0)
  assert [(row.dtype, row.devices) for row in rows] == [
    ('float32', 1), ('bfloat16', 1)]
  assert all(map(finite, rows))
  row = pmap.measure(small, 2, 0.0)
  assert finite(row)
  assert row.losses[0] == pytest.approx(row.losses[1], abs=1e-5)


def test_a_token_from_memory_is_timed_beside_one_from_all_again():
  takes = decoding.takes(TINY)
  assert set(takes) == {'memory', 'again'}
  # More than one text has room for.
  assert all(take(2 * TINY.model.max_length) > 0 for take in takes.values())
