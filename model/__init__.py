"""Language models whose parts can be changed one at a time.

Everything outside this folder sees plain dicts of arrays and these functions.
"""

from model import (
  backend,
  count,
  decoding,
  dims,
  generation,
  matching,
  sites,
)
from model.attention import AttentionConfig
from model.config import ConfigError, ModelConfig, complete
from model.feed_forward import (
  FEED_FORWARDS,
  GatedFeedForward,
  NoFeedForward,
  PlainFeedForward,
)
from model.language_model import (
  Hidden,
  Output,
  apply,
  embed,
  hidden,
  init,
  layer_params,
  run_block,
  unembed,
)
from model.layout import Layout
from model.mixers import MIXERS
from model.parameterisation import group
from model.position import (
  POSITIONS,
  AlibiPosition,
  LearnedPosition,
  NoPosition,
  RotaryPosition,
  SinusoidalPosition,
)
from model.sites import SITES, Edit

__all__ = [
  'FEED_FORWARDS', 'MIXERS', 'POSITIONS', 'SITES', 'AlibiPosition',
  'AttentionConfig', 'ConfigError', 'Edit', 'GatedFeedForward', 'Hidden',
  'Layout', 'LearnedPosition', 'ModelConfig', 'NoFeedForward', 'NoPosition',
  'Output', 'PlainFeedForward', 'RotaryPosition', 'SinusoidalPosition',
  'apply', 'backend', 'complete', 'count', 'decoding', 'dims', 'embed',
  'generation', 'group', 'hidden', 'init', 'layer_params', 'matching',
  'run_block',
  'sites', 'unembed',
]
