"""Attention kernels that never hold the scores, and when they can be used.

The scores of one sequence take H T^2 numbers; a kernel that computes them in
pieces and forgets them (Dao et al., 2022) is several times as fast on an
accelerator, and as exact. Each kernel here is one function of queries, keys
and values; `choose` says which one a model gets.

Splash attention lives under `jax.experimental`, a public path without a promise
to stay: it is imported only on a TPU, and where it is gone or refuses, the
model computes the scores instead, and says so.
"""

import functools
import logging
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from model import backend
from model.config import ModelConfig
from model.layout import Layout
from model.position import AlibiPosition

Kernel = Callable[..., jax.Array]
KernelName = Literal['auto', 'xla', 'cudnn', 'splash']

# The kernel that a platform prefers; the others compute the scores ('xla').
PREFERRED = {'gpu': 'cudnn', 'tpu': 'splash'}
PLATFORM = {kernel: platform for platform, kernel in PREFERRED.items()}
# The widest tile first; 512 is what public TPU trainers settled on.
SPLASH_BLOCKS = (512, 256, 128)


def choose(config: ModelConfig, asked: KernelName, layout: Layout,
           q_BTHK: jax.Array, k_BSGK: jax.Array,
           pattern_used: bool, masked: bool = False) -> Kernel | None:
  """The fastest exact kernel for these arrays; None: compute the scores.

  What is passed over, and why, is logged once for each reason.

  Args:
    config: what else a kernel must fit.
    asked: the kernel that is asked for.
    layout: where arrays live.
    q_BTHK: queries; only their shape and dtype are read.
    k_BSGK: keys; values are like them.
    pattern_used: whether somebody reads or edits the attention pattern, which
      no kernel ever holds.
    masked: whether keys are masked that only the running program knows.
  """
  name = (PREFERRED.get(backend.platform(), 'xla') if asked == 'auto'
          else asked)
  if name == 'xla' or q_BTHK.shape[1] == 1:  # one position has one score
    return None
  kernel = functools.partial(KERNELS[name], config.mask == 'causal')
  reason = _unfit(config, name, pattern_used, masked) or _refusal(
    kernel, jax.ShapeDtypeStruct(q_BTHK.shape, q_BTHK.dtype),
    jax.ShapeDtypeStruct(k_BSGK.shape, k_BSGK.dtype))
  if reason:
    _log(name, reason)
    return None
  return layout.local(kernel, ('BTHK', 'BSGK', 'BSGK'), 'BTHK')


def cudnn(causal: bool, q_BTHK: jax.Array, k_BSGK: jax.Array,
          v_BSGK: jax.Array) -> jax.Array:
  """cuDNN's flash attention: (B,T,H,K) of what each head read."""
  return jax.nn.dot_product_attention(q_BTHK, k_BSGK, v_BSGK, is_causal=causal,
                                      implementation='cudnn')


def splash(causal: bool, q_BTHK: jax.Array, k_BSGK: jax.Array,
           v_BSGK: jax.Array, interpret: bool = False) -> jax.Array:
  """The TPU's splash attention: (B,T,H,K) of what each head read.

  Args:
    causal: whether a position sees only those before it.
    q_BTHK: queries.
    k_BSGK: keys.
    v_BSGK: values.
    interpret: run without a TPU, slowly.

  Raises:
    ValueError: the length is no multiple of a tile.
  """
  from jax.experimental.pallas.ops.tpu import splash_attention as library
  T, H, K = q_BTHK.shape[1:]
  block = next((b for b in SPLASH_BLOCKS if T % b == 0), None)
  if block is None:
    raise ValueError(f'its length, {T}, is no multiple of {SPLASH_BLOCKS[-1]}')
  mask = library.CausalMask if causal else library.FullMask
  attend = library.make_splash_mha(
    library.MultiHeadMask([mask((T, T))] * H), head_shards=1, q_seq_shards=1,
    block_sizes=library.BlockSizes(
      block_q=block, block_kv=block, block_kv_compute=block, block_q_dkv=block,
      block_kv_dkv=block, block_kv_dkv_compute=block,
      use_fused_bwd_kernel=True),
    interpret=interpret)
  # The kernel knows no scale and no batch.
  mixed_BHTK = jax.vmap(attend)(*(
    x.swapaxes(1, 2) for x in (q_BTHK * K**-0.5, k_BSGK, v_BSGK)))
  return mixed_BHTK.swapaxes(1, 2).astype(q_BTHK.dtype)


KERNELS: dict[str, Kernel] = {'cudnn': cudnn, 'splash': splash}


def _unfit(config: ModelConfig, name: str, pattern_used: bool,
           masked: bool) -> str:
  """Why this model cannot have the kernel; '' if nothing speaks against it."""
  platform = backend.platform()
  if platform != PLATFORM[name]:
    return f'it runs on {PLATFORM[name]}, and this is {platform}'
  if pattern_used:
    return 'the attention pattern is read or edited'
  if masked:
    return 'padded keys are masked'
  if isinstance(config.position, AlibiPosition):
    return 'model.position=alibi adds a bias to the scores'
  if config.dtype != 'bfloat16':
    return f'it takes bfloat16, and model.dtype={config.dtype}'
  return ''


def _refusal(kernel: Kernel, *arrays: jax.ShapeDtypeStruct) -> str:
  """What the kernel itself says against these shapes, on this machine.

  Tracing it, with its backward pass, is enough to hear that; its limits (head
  widths, versions, generations of a GPU) are not repeated here.
  """
  q, k = arrays

  def total(*qkv: jax.Array) -> jax.Array:
    return kernel(*qkv).astype(jnp.float32).sum()

  try:
    jax.eval_shape(jax.grad(total), q, k, k)
  except (ImportError, NotImplementedError, RuntimeError, TypeError,
          ValueError) as error:
    return str(error).splitlines()[0]
  return ''


@functools.cache
def _log(name: str, reason: str) -> None:
  logging.warning('attention: computing the scores instead of %s: %s', name,
                  reason)
