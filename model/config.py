"""What a model is: every switch that changes what is computed.

A field's metadata says what part it plays in a run:

* no role: it shapes the compiled program;
* `traced`: its value is an input of the compiled program, so runs that differ
  in nothing else share one compilation and can train side by side;
* `execution`: it changes how fast the result comes, not which result; it is
  left out of the run's identity.
"""

import dataclasses
from typing import Any, Literal

TRACED = {'role': 'traced'}
EXECUTION = {'role': 'execution'}

Mixer = Literal[
  'attention', 'gru', 'linear_recurrence', 'convolution', 'dilated_convolution'
]
Position = Literal['none', 'learned', 'sinusoidal', 'rotary', 'alibi']
Mask = Literal['causal', 'bidirectional']
Norm = Literal['layer', 'rms']
NormPlacement = Literal['pre', 'post', 'scaled']
FeedForward = Literal['plain', 'gated', 'none']
Activation = Literal['relu', 'gelu', 'silu', 'tanh', 'sigmoid', 'identity']
Layers = Literal['separate', 'tied']
Unembedding = Literal['separate', 'tied']
Parameterisation = Literal['standard', 'completep']
AttentionKernel = Literal['auto', 'xla', 'cudnn', 'splash']
Remat = Literal['none', 'dots', 'full']
Dtype = Literal['float32', 'bfloat16']


class ConfigError(ValueError):
  """A model that cannot be built; the message names the field and the fix."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """One language model: `embed → Stack(block, n) → norm → unembed`.

  A zero in a size means "work it out": see the properties below and, for
  `vocab_size` and `max_length`, the data source.
  """

  n_layers: int = 4
  d_model: int = 64
  n_heads: int = 4
  n_kv_heads: int = 0  # 0: as many as n_heads
  d_head: int = 0  # 0: d_model / n_heads
  mixer: Mixer = 'attention'
  conv_window: int = 3
  position: Position = 'rotary'
  mask: Mask = 'causal'
  norm: Norm = 'layer'
  norm_placement: NormPlacement = 'pre'
  feed_forward: FeedForward = 'plain'
  ff_multiple: float = 4.0  # feed-forward width over model width
  activation: Activation = 'gelu'
  layers: Layers = 'separate'  # tied: one layer's parameters, looped n times
  unembedding: Unembedding = 'separate'
  parameterisation: Parameterisation = 'completep'
  base_layers: int = 2  # the depth and width at which the learning rate of
  base_width: int = 64  # a CompleteP family was chosen
  init_scale: float = dataclasses.field(default=1.0, metadata=TRACED)
  vocab_size: int = 0  # 0: the data source's
  max_length: int = 0  # 0: the data source's
  dtype: Dtype = 'float32'  # of the computation; parameters stay float32
  unroll: int = dataclasses.field(default=0, metadata=EXECUTION)  # 0: auto
  # what computes attention; auto: the fastest exact way the platform has
  attention_kernel: AttentionKernel = dataclasses.field(
    default='auto', metadata=EXECUTION)
  # what a layer computes again in the backward pass, to hold less: nothing,
  # all but its matrix products, all
  remat: Remat = dataclasses.field(default='none', metadata=EXECUTION)

  @property
  def kv_heads(self) -> int:
    """G, the number of key/value heads."""
    return self.n_kv_heads or self.n_heads

  @property
  def head_width(self) -> int:
    """K, the width of one head."""
    return self.d_head or self.d_model // self.n_heads

  @property
  def ff_width(self) -> int:
    """F, the feed-forward width; 0 when there is no feed-forward."""
    if self.feed_forward == 'none':
      return 0
    return round(self.ff_multiple * self.d_model)

  def validate(self) -> None:
    """Raises ConfigError when no such model can be built."""
    for name in ('n_layers', 'd_model', 'n_heads', 'conv_window',
                 'base_layers', 'base_width'):
      if getattr(self, name) < 1:
        raise _error(name, f'{getattr(self, name)} must be at least 1')
    for name in ('n_kv_heads', 'd_head', 'vocab_size', 'max_length', 'unroll'):
      if getattr(self, name) < 0:
        raise _error(name, f'{getattr(self, name)} must be 0 (auto) or more')
    if self.feed_forward != 'none' and self.ff_width < 1:
      raise _error('ff_multiple', f'{self.ff_multiple} leaves no feed-forward '
                   "width; use a larger one, or model.feed_forward='none'")
    if self.mixer == 'attention':
      self._validate_heads()
      return
    if self.position in ('rotary', 'alibi'):
      raise _error('position', f'{self.position!r} acts on attention scores, '
                   f'which mixer={self.mixer!r} has none of; use none, learned '
                   'or sinusoidal')
    if self.mask != 'causal':
      raise _error('mask', f'mixer={self.mixer!r} only looks back; use causal')

  def _validate_heads(self) -> None:
    if not self.d_head and self.d_model % self.n_heads:
      fits = [h for h in range(1, self.d_model + 1) if self.d_model % h == 0]
      raise _error('n_heads', f'{self.n_heads} does not divide '
                   f'd_model={self.d_model}; use one of {fits} or set d_head')
    if self.n_heads % self.kv_heads:
      raise _error('n_kv_heads', f'{self.kv_heads} does not divide '
                   f'n_heads={self.n_heads}')
    if self.position == 'rotary' and self.head_width % 2:
      raise _error('d_head', f'rotary position needs an even head width, not '
                   f'{self.head_width}')


def _error(name: str, problem: str) -> ConfigError:
  return ConfigError(f'model.{name}: {problem}')


def complete(config: ModelConfig, **sizes: Any) -> ModelConfig:
  """Fills the sizes that are still 0 from what the data source says."""
  unset = {k: v for k, v in sizes.items() if not getattr(config, k)}
  return dataclasses.replace(config, **unset)
