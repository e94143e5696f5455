import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from model import Layout, attention, attention_kernel, backend, cpu
from model.sites import Sites

# Of the largest output, for inputs of unit variance: float32 sums of 128 terms
# in another order, and the rounding of bfloat16 inputs, weights and outputs.
TOLERANCE = {'float32': 1e-5, 'bfloat16': 2e-2}
LENGTH, WIDTH = 128, 64


def arrays(dtype, heads=4, groups=2):
  return [tiny.normal(2, LENGTH, n, WIDTH, seed=seed).astype(dtype)
          for seed, n in enumerate((heads, groups, groups))]


def reference(mask, q_BTHK, k_BSGK, v_BSGK):
  """In float64, one head at a time."""
  q, k, v = (np.asarray(x, np.float64) for x in (q_BTHK, k_BSGK, v_BSGK))
  out = np.zeros_like(q)
  share = q.shape[2] // k.shape[2]
  for h in range(q.shape[2]):
    score_BTS = q[:, :, h] @ k[:, :, h // share].swapaxes(1, 2) / WIDTH**0.5
    if mask == 'causal':
      score_BTS = np.where(np.tri(LENGTH), score_BTS, -np.inf)
    weight_BTS = np.exp(score_BTS - score_BTS.max(-1, keepdims=True))
    weight_BTS /= weight_BTS.sum(-1, keepdims=True)
    out[:, :, h] = weight_BTS @ v[:, :, h // share]
  return out


def config(**changes):
  return tiny.config(**{'n_heads': 4, 'n_kv_heads': 2, 'd_head': WIDTH,
                        'dtype': 'bfloat16', **changes})


def attend(config, *qkv):
  return attention.attend(config, config.mixer.kernel, *qkv, Sites({}, {}))


@pytest.mark.parametrize('mask', ['causal', 'bidirectional'])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_computing_the_scores_agrees_with_float64(dtype, mask):
  q, k, v = arrays(dtype)
  own = tiny.jit(lambda: attend(config(dtype=dtype, mask=mask), q, k, v))()
  expected = reference(mask, q, k, v)
  assert own.dtype == dtype
  error = np.abs(np.asarray(own, np.float64) - expected).max()
  assert error < TOLERANCE[dtype] * np.abs(expected).max()


def test_scores_in_pieces_are_those_of_the_whole_with_their_gradients(
    monkeypatch):
  monkeypatch.setattr(cpu, 'ROWS', 40)  # 128: three pieces and a rest
  config_ = config(dtype='float32')
  qkv = arrays('float32')
  weight = tiny.normal(*qkv[0].shape, seed=7)

  def pieces(*qkv):
    return attend(config_, *qkv)

  def whole(*qkv):
    return attention.mix(*qkv, attention.score_bias(
      config_, 4, np.arange(LENGTH), np.arange(LENGTH)),
                         Sites({}, {}), False)

  np.testing.assert_allclose(jax.jit(pieces)(*qkv), reference('causal', *qkv),
                             atol=1e-5)
  ours, expected = (
    jax.jit(jax.grad(lambda *qkv, f=f: (f(*qkv) * weight).sum(), (0, 1, 2)))(
      *qkv) for f in (pieces, whole))
  for a, b in zip(ours, expected):
    np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize(('heads', 'groups'), [(4, 2), (3, 3), (1, 1)])
def test_the_gradient_of_a_cpu_is_that_of_other_devices(heads, groups):
  """The scores have a backward pass of their own there."""
  config_ = config(dtype='float32', kernel='xla')
  qkv = arrays('float32', heads, groups)
  weight = tiny.normal(*qkv[0].shape, seed=7)

  def gradient(platform):
    def loss(*qkv):
      return (attend(config_, *qkv) * weight).sum()

    with backend.compiling_for(platform):
      return jax.jit(jax.grad(loss, (0, 1, 2)))(*qkv)

  for ours, expected in zip(gradient('cpu'), gradient('gpu')):
    np.testing.assert_allclose(ours, expected,
                               atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize('mask', ['causal', 'bidirectional'])
def test_the_tpu_kernel_agrees_with_float64_and_its_gradient_with_xla(mask):
  """Interpreted: the kernel's own arithmetic, without a TPU."""
  causal = mask == 'causal'
  q, k, v = (jnp.asarray(x) for x in arrays('float32'))

  def kernel(*qkv):
    return attention_kernel.splash(causal, *qkv, interpret=True)

  def scores(*qkv):
    return attend(config(dtype='float32', mask=mask), *qkv)

  expected = reference(mask, q, k, v)
  np.testing.assert_allclose(jax.jit(kernel)(q, k, v), expected, atol=1e-4)
  weight = tiny.normal(*expected.shape, seed=7)
  ours, theirs = (
    jax.jit(jax.grad(lambda *qkv, f=f: (f(*qkv) * weight).sum(), (0, 1, 2)))(
      q, k, v) for f in (kernel, scores))
  for a, b in zip(ours, theirs):
    np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())


@pytest.mark.skipif(jax.default_backend() != 'gpu',
                    reason='needs an NVIDIA GPU')
@pytest.mark.parametrize('mask', ['causal', 'bidirectional'])
def test_cudnn_agrees_with_float64(mask):
  q, k, v = arrays('bfloat16')
  own = jax.jit(lambda: attention_kernel.cudnn(mask == 'causal', q, k, v))()
  expected = reference(mask, q, k, v)
  error = np.abs(np.asarray(own, np.float64) - expected).max()
  assert error < TOLERANCE['bfloat16'] * np.abs(expected).max()


def choose(platform, pattern_used=False, masked=False, **changes):
  made = config(**changes)
  q, k, _ = arrays(made.dtype)
  with backend.compiling_for(platform):
    return attention_kernel.choose(made, made.mixer.kernel, Layout(), q, k,
                                   pattern_used, masked)


@pytest.mark.parametrize(('platform', 'pattern_used', 'changes', 'reason'), [
  ('tpu', False, {'dtype': 'float32'}, 'model.dtype=float32'),
  ('tpu', False, {'position': 'alibi'}, 'model.position=alibi'),
  ('tpu', True, {}, 'pattern is read or edited'),
  ('tpu', False, {'masked': True}, 'padded keys are masked'),
  ('tpu', False, {'kernel': 'cudnn'}, 'runs on gpu, and this is tpu'),
  ('gpu', False, {}, 'cuDNN is not detected'),
  ('cpu', False, {'kernel': 'splash'}, 'runs on tpu'),
])
def test_a_kernel_passed_over_is_logged_once_with_the_reason(
    platform, pattern_used, changes, reason, caplog):
  attention_kernel._log.cache_clear()
  with caplog.at_level(logging.WARNING):
    assert choose(platform, pattern_used, **changes) is None
    assert choose(platform, pattern_used, **changes) is None
  assert [reason in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize('changes', [{}, {'kernel': 'xla'}])
def test_a_cpu_computes_the_scores_and_says_nothing(changes, caplog):
  assert choose('cpu', **changes) is None
  assert not caplog.records


@pytest.mark.slow
def test_a_tpu_gets_its_kernel():
  assert choose('tpu') is not None
