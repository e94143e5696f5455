"""The kinds of sequence mixer, by name: `--config.model.mixer=NAME`."""

from collections.abc import Mapping

from model.attention import AttentionConfig
from model.config import MixerConfig
from model.convolution import ConvolutionConfig, DilatedConvolutionConfig
from model.recurrent import GRUConfig, LinearRecurrenceConfig

MIXERS: Mapping[str, type[MixerConfig]] = {
  'attention': AttentionConfig,
  'gru': GRUConfig,
  'linear_recurrence': LinearRecurrenceConfig,
  'convolution': ConvolutionConfig,
  'dilated_convolution': DilatedConvolutionConfig,
}
