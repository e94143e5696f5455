"""Llama and what is built like it: SmolLM, Mistral, Qwen 2 and 3.

Touvron et al., 2023; Jiang et al., 2023; Yang et al., 2024 and 2025. One table
reads them all; what differs is which biases and norms there are, and what a
config leaves out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from model.attention import AttentionConfig
from model.config import ModelConfig
from model.feed_forward import GatedFeedForward
from model.position import RotaryPosition
from model.pretrained import expression, rotary
from model.pretrained.family import Family
from model.pretrained.settings import THEIR_ACTIVATIONS, Settings
from model.pretrained.table import Entry

WINDOW = 4096  # sliding_window where a config has none


@dataclasses.dataclass(frozen=True)
class Kind:
  """What a `model_type` takes where its config does not say.

  The defaults of its config class in transformers 5.

  Attributes:
    longest: max_position_embeddings.
    kv_heads: num_key_value_heads; 0: as many as heads.
    head: head_dim; 0: hidden_size / num_attention_heads.
  """

  longest: int
  kv_heads: int = 0
  head: int = 0


KINDS = {
  'llama': Kind(longest=2048),
  'mistral': Kind(longest=131_072, kv_heads=8),
  'qwen2': Kind(longest=32_768, kv_heads=32),
  'qwen3': Kind(longest=32_768, kv_heads=32, head=128),
}


def config(values: Mapping[str, Any]) -> ModelConfig:
  """Their config in our words.

  Raises:
    UnreadableModel: a key that is wrong, or that we cannot express.
  """
  theirs = Settings(values)
  theirs.fixed('is_causal', True)
  kind = theirs.word('model_type', KINDS, 'llama')
  longest = theirs.count('max_position_embeddings', KINDS[kind].longest)
  window = _window(theirs, kind)
  width = theirs.count('hidden_size')
  return ModelConfig(
    n_layers=theirs.layers('num_hidden_layers'),
    d_model=width,
    mixer=_attention(theirs, kind, width),
    position=_position(theirs, kind),
    norm='rms',
    norm_epsilon=theirs.number('rms_norm_eps', 1e-6),
    feed_forward=GatedFeedForward(
      multiple=theirs.count('intermediate_size') / width,
      activation=theirs.activation('hidden_act', 'silu'),
      bias=kind == 'llama' and theirs.flag('mlp_bias', False)),
    unembedding=('tied' if theirs.flag('tie_word_embeddings', False)
                 else 'separate'),
    parameterisation='standard',
    vocab_size=theirs.count('vocab_size'),
    max_length=min(longest, window or longest),
  )


def _attention(theirs: Settings, kind: str, width: int) -> AttentionConfig:
  """Heads, biases and norms."""
  heads = theirs.count('num_attention_heads')
  # Where it says null, as where Llama says nothing, there is one for each head.
  said = 'num_key_value_heads' in theirs.values
  groups = theirs.count('num_key_value_heads',
                        heads if said else KINDS[kind].kv_heads or heads)
  if heads % groups:
    raise theirs.refuse('num_key_value_heads', f'{groups} does not divide '
                        f'num_attention_heads={heads}; correct it')
  head = theirs.count('head_dim', KINDS[kind].head or width // heads)
  if not head or head % 2:
    raise theirs.refuse('head_dim', f'{head} is not an even width of a head; '
                                    'correct it')
  biased = kind == 'qwen2' or (
    kind in ('llama', 'qwen3') and theirs.flag('attention_bias', False))
  return AttentionConfig(
    n_heads=heads, n_kv_heads=groups, d_head=head, qkv_bias=biased,
    out_bias=biased and kind != 'qwen2',
    qk_norm='head' if kind == 'qwen3' else 'none')


def _position(theirs: Settings, kind: str) -> RotaryPosition:
  """All of a head turns."""
  position = rotary.position(theirs, longest=KINDS[kind].longest)
  if position.fraction != 1:
    raise theirs.refuse('partial_rotary_factor', f'{position.fraction} is not '
                        'computed by this family; use 1, or another model_type')
  return position


def _window(theirs: Settings, kind: str) -> int:
  """How far attention looks back; 0: to the start."""
  if kind == 'llama' or (
      kind != 'mistral' and not theirs.flag('use_sliding_window', False)):
    return 0
  # Null means none, and absence does not.
  said = 'sliding_window' in theirs.values
  window = theirs.count('sliding_window', 0 if said else WINDOW)
  if kind == 'mistral':
    return window
  layers = theirs.values.get('layer_types')
  if layers is not None:
    if not isinstance(layers, list):
      raise theirs.refuse('layer_types', 'is not a list; correct it')
    return window if 'sliding_attention' in layers else 0
  first = theirs.count('max_window_layers', 28, least=0)
  return window if first < theirs.count('num_hidden_layers') else 0


def theirs(model: ModelConfig) -> dict[str, Any]:
  """Our config as a Llama, a Qwen 2 or a Qwen 3.

  Raises:
    ConfigError: none of them computes it; the message names the field.
  """
  mixer = expression.kind(model, 'mixer', AttentionConfig)
  feed_forward = expression.kind(model, 'feed_forward', GatedFeedForward)
  position = expression.kind(model, 'position', RotaryPosition)
  kind, architecture = 'llama', 'LlamaForCausalLM'
  if mixer.qk_norm == 'head':
    kind, architecture = 'qwen3', 'Qwen3ForCausalLM'
  elif mixer.qkv_bias and not mixer.out_bias:
    kind, architecture = 'qwen2', 'Qwen2ForCausalLM'
  written = {
    'architectures': [architecture],
    'model_type': kind,
    'hidden_size': model.d_model,
    'intermediate_size': model.ff_width,
    'num_hidden_layers': model.n_layers,
    'num_attention_heads': mixer.n_heads,
    'num_key_value_heads': mixer.kv_heads,
    'head_dim': mixer.head_width(model),
    'hidden_act': THEIR_ACTIVATIONS[feed_forward.activation],
    'rms_norm_eps': model.norm_epsilon,
    'max_position_embeddings': model.max_length,
    'vocab_size': model.vocab_size,
    'tie_word_embeddings': model.unembedding == 'tied',
    'torch_dtype': 'float32',
    **({} if kind == 'qwen2' else {'attention_bias': mixer.qkv_bias}),
    **({'mlp_bias': feed_forward.bias} if kind == 'llama' else {}),
    **rotary.theirs(position),
  }
  expression.check(model, config(written))
  return written


def table(model: ModelConfig) -> tuple[Entry, ...]:
  """The entries of one config."""
  mixer = expression.kind(model, 'mixer', AttentionConfig)
  feed_forward = expression.kind(model, 'feed_forward', GatedFeedForward)
  attention, mlp = 'model.layers.{layer}.self_attn', 'model.layers.{layer}.mlp'
  found = [
    Entry('model.embed_tokens.weight', 'token_embedding/embedding_VD', 'V D'),
    Entry('model.layers.{layer}.input_layernorm.weight',
          'stack/mixer_norm/scale_D', 'D'),
    Entry(f'{attention}.q_proj.weight', 'stack/mixer/w_q_DHK', '(H K) D'),
    Entry(f'{attention}.k_proj.weight', 'stack/mixer/w_k_DGK', '(G K) D'),
    Entry(f'{attention}.v_proj.weight', 'stack/mixer/w_v_DGK', '(G K) D'),
    Entry(f'{attention}.o_proj.weight', 'stack/mixer/w_o_HKD', 'D (H K)'),
    Entry('model.layers.{layer}.post_attention_layernorm.weight',
          'stack/ffn_norm/scale_D', 'D'),
    Entry(f'{mlp}.gate_proj.weight', 'stack/ffn/w_gate_DF', 'F D'),
    Entry(f'{mlp}.up_proj.weight', 'stack/ffn/w_up_DF', 'F D'),
    Entry(f'{mlp}.down_proj.weight', 'stack/ffn/w_down_FD', 'D F'),
    Entry('model.norm.weight', 'norm/scale_D', 'D'),
  ]
  if model.unembedding == 'separate':
    found += [Entry('lm_head.weight', 'unembedding/w_DV', 'V D')]
  if mixer.qkv_bias:
    found += [Entry(f'{attention}.q_proj.bias', 'stack/mixer/b_q_HK', '(H K)'),
              Entry(f'{attention}.k_proj.bias', 'stack/mixer/b_k_GK', '(G K)'),
              Entry(f'{attention}.v_proj.bias', 'stack/mixer/b_v_GK', '(G K)')]
  if mixer.out_bias:
    found += [Entry(f'{attention}.o_proj.bias', 'stack/mixer/b_o_D', 'D')]
  if mixer.qk_norm == 'head':
    found += [
      Entry(f'{attention}.q_norm.weight', 'stack/mixer/scale_q_K', 'K'),
      Entry(f'{attention}.k_norm.weight', 'stack/mixer/scale_k_K', 'K')]
  if feed_forward.bias:
    found += [Entry(f'{mlp}.gate_proj.bias', 'stack/ffn/b_gate_F', 'F'),
              Entry(f'{mlp}.up_proj.bias', 'stack/ffn/b_up_F', 'F'),
              Entry(f'{mlp}.down_proj.bias', 'stack/ffn/b_down_D', 'D')]
  return tuple(found)


LLAMA = Family(
  name='llama', model_types=tuple(KINDS), config=config, theirs=theirs,
  table=table,
  # Old files keep the rotary frequencies.
  ignored=(r'model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq$',),
  # A model without its head leaves out where it is.
  spellings=((r'^(embed_tokens|layers|norm)\.', r'model.\1.'),),
  copies={'lm_head.weight': 'model.embed_tokens.weight'})
