"""Where batches come from: one file a source, with its config inside."""

from collections.abc import Mapping

from data.sources.generative_replay import GenerativeReplayConfig
from data.sources.hop_string import HopStringConfig
from data.sources.markov import MarkovConfig
from data.sources.mixture import MixtureConfig
from data.sources.new_tokens import NewTokensConfig
from data.sources.pointer_chasing import PointerChasingConfig
from data.sources.text import TextConfig
from data.sources.tree import TreeConfig

# What `--config.data.source` chooses from.
SOURCES: Mapping[str, type] = {
  'text': TextConfig,
  'tree': TreeConfig,
  'pointer_chasing': PointerChasingConfig,
  'hop_string': HopStringConfig,
  'markov': MarkovConfig,
  'mixture': MixtureConfig,
  'new_tokens': NewTokensConfig,
  'generative_replay': GenerativeReplayConfig,
}
