"""What llama.cpp's converter does to each architecture, undone.

Facts: `conversion/` of llama.cpp and the constants of its package `gguf`
(Gerganov and others, 2023 to 2026).
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from model.pretrained.gguf.fields import Fields
from model.pretrained.gguf.rotary import rope

Theirs = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Architecture:
  """One architecture's names and what is different in its file.

  Attributes:
    theirs: from fields and stored tensors to what `config.json` would say.
    names: their names by stored ones, without `.weight` and `.bias`; `{}` is
      the layer.
    rearrangements: by stored name, from the number of rows and `theirs` to the
      stored row of each of their rows.
    transposed: stored names of matrices that are stored (out, in).
  """

  theirs: Callable[[Fields, Mapping[str, Any]], Theirs]
  names: Mapping[str, str]
  rearrangements: Mapping[str, Callable[[int, Theirs], np.ndarray]] = (
    dataclasses.field(default_factory=dict))
  transposed: tuple[str, ...] = ()

  def name(self, stored: str) -> str:
    """Their name of a stored tensor; one that is not known keeps its own."""
    stem, layer, suffix = _parts(stored)
    if stem not in self.names:
      return stored
    return f'{self.names[stem].format(layer)}.{suffix}'

  def rows(self, stored: str, count: int, theirs: Theirs) -> np.ndarray | None:
    """The stored row of each of their rows; None where they are the same."""
    rearrangement = self.rearrangements.get(_parts(stored)[0])
    return rearrangement(count, theirs) if rearrangement else None

  def is_transposed(self, stored: str) -> bool:
    """Whether theirs is (in, out)."""
    return _parts(stored)[0] in self.transposed


def _parts(stored: str) -> tuple[str, str, str]:
  """A stored name as ('blk.{}.attn_q', '3', 'weight')."""
  stem, _, suffix = stored.rpartition('.')
  layer = re.match(r'blk\.(\d+)\.', stem)
  if not layer:
    return stem, '', suffix
  return f'blk.{{}}.{stem[layer.end():]}', layer[1], suffix


def _halves(heads: str) -> Callable[[int, Theirs], np.ndarray]:
  """Rotary pairs that lie side by side, put half a head apart again."""

  def rows(count: int, theirs: Theirs) -> np.ndarray:
    order = np.arange(count)
    if count % (2 * theirs[heads]):
      return order  # a wrong shape, which the table will say
    return order.reshape(theirs[heads], -1, 2).swapaxes(1, 2).ravel()

  return rows


def _interleaved(count: int, theirs: Theirs) -> np.ndarray:
  """All queries, all keys, all values: theirs are together by head."""
  order = np.arange(count)
  if count % (3 * theirs['num_attention_heads']):
    return order  # a wrong shape, which the table will say
  return order.reshape(
    3, theirs['num_attention_heads'], -1).swapaxes(0, 1).ravel()


def _common(fields: Fields, stored: Mapping[str, Any]) -> Theirs:
  """What is called the same in most families."""
  # An encoder looks ahead, and what goes on with texts does not.
  fields.fixed('attention.causal', fields.architecture != 'bert')
  return {
    'hidden_size': fields.count('embedding_length'),
    'intermediate_size': fields.count('feed_forward_length'),
    'num_hidden_layers': fields.count('block_count'),
    'num_attention_heads': fields.count('attention.head_count'),
    'max_position_embeddings': fields.count('context_length'),
    'vocab_size': _vocabulary(fields, stored),
    'tie_word_embeddings': _is_tied(stored),
  }


def _vocabulary(fields: Fields, stored: Mapping[str, Any]) -> int:
  """V, the rows of the embedding."""
  table = stored.get('token_embd.weight')
  if table is None or len(table.shape) != 2:
    raise fields.refuse('token_embd.weight', 'no such matrix; download or '
                        'convert the file again')
  return table.shape[0]


def _is_tied(stored: Mapping[str, Any]) -> bool:
  """Whether there is no head, or one that copies the embedding."""
  embedding, head = stored['token_embd.weight'], stored.get('output.weight')
  return head is None or (
    head.kind == embedding.kind and np.array_equal(head.data, embedding.data))


def _llama(model_type: str) -> Callable[[Fields, Mapping[str, Any]], Theirs]:
  def theirs(fields: Fields, stored: Mapping[str, Any]) -> Theirs:
    common = _common(fields, stored)
    heads = common['num_attention_heads']
    head = fields.count('attention.key_length', max(
      1, common['hidden_size'] // heads))
    for key in ('attention.value_length', 'rope.dimension_count'):
      if fields.count(key, head) != head:
        raise fields.refuse(
          key, f'it is not the {head} numbers of a head, and other widths are '
          'not computed here')
    window = fields.count('attention.sliding_window', 0, least=0) or None
    return {
      # A Llama without a window is what a Mistral is with one.
      'model_type': 'mistral' if window and model_type == 'llama'
                    else model_type,
      **common, 'head_dim': head,
      'num_key_value_heads': fields.count('attention.head_count_kv', heads),
      'rms_norm_eps': fields.real('attention.layer_norm_rms_epsilon'),
      'hidden_act': 'silu',
      'attention_bias': 'blk.0.attn_q.bias' in stored,
      'mlp_bias': 'blk.0.ffn_up.bias' in stored,
      'sliding_window': window, 'use_sliding_window': window is not None,
      'max_window_layers': 0,  # of all layers
      'rope_parameters': rope(fields, stored, head),
    }

  return theirs


def _gpt2(fields: Fields, stored: Mapping[str, Any]) -> Theirs:
  common = _common(fields, stored)
  return {
    'model_type': 'gpt2',
    'n_embd': common['hidden_size'], 'n_inner': common['intermediate_size'],
    'n_layer': common['num_hidden_layers'],
    'n_head': common['num_attention_heads'],
    'n_positions': common['max_position_embeddings'],
    'vocab_size': common['vocab_size'],
    'layer_norm_epsilon': fields.real('attention.layer_norm_epsilon'),
    'activation_function': 'gelu_new',
    'tie_word_embeddings': common['tie_word_embeddings'],
  }


def _neox(fields: Fields, stored: Mapping[str, Any]) -> Theirs:
  common = _common(fields, stored)
  head = max(1, common['hidden_size'] // common['num_attention_heads'])
  return {
    'model_type': 'gpt_neox', **common, 'hidden_act': 'gelu',
    'layer_norm_eps': fields.real('attention.layer_norm_epsilon'),
    'use_parallel_residual': fields.flag('use_parallel_residual', True),
    'attention_bias': 'blk.0.attn_qkv.bias' in stored,
    'rope_parameters': {
      **rope(fields, stored, head),
      'partial_rotary_factor': fields.count('rope.dimension_count') / head},
  }


def _bert(fields: Fields, stored: Mapping[str, Any]) -> Theirs:
  types = stored.get('token_types.weight')
  return {
    'model_type': 'bert', **_common(fields, stored), 'hidden_act': 'gelu',
    'layer_norm_eps': fields.real('attention.layer_norm_epsilon'),
    'position_embedding_type': 'absolute',
    'type_vocab_size': types.shape[0] if types is not None else 0,
  }


_LLAMA = {
  'token_embd': 'model.embed_tokens',
  'output_norm': 'model.norm',
  'output': 'lm_head',
  'blk.{}.attn_norm': 'model.layers.{}.input_layernorm',
  'blk.{}.attn_q': 'model.layers.{}.self_attn.q_proj',
  'blk.{}.attn_k': 'model.layers.{}.self_attn.k_proj',
  'blk.{}.attn_v': 'model.layers.{}.self_attn.v_proj',
  'blk.{}.attn_q_norm': 'model.layers.{}.self_attn.q_norm',
  'blk.{}.attn_k_norm': 'model.layers.{}.self_attn.k_norm',
  'blk.{}.attn_output': 'model.layers.{}.self_attn.o_proj',
  'blk.{}.ffn_norm': 'model.layers.{}.post_attention_layernorm',
  'blk.{}.ffn_gate': 'model.layers.{}.mlp.gate_proj',
  'blk.{}.ffn_up': 'model.layers.{}.mlp.up_proj',
  'blk.{}.ffn_down': 'model.layers.{}.mlp.down_proj',
}
_GPT2 = {
  'token_embd': 'transformer.wte',
  'position_embd': 'transformer.wpe',
  'output_norm': 'transformer.ln_f',
  'output': 'lm_head',
  'blk.{}.attn_norm': 'transformer.h.{}.ln_1',
  'blk.{}.attn_qkv': 'transformer.h.{}.attn.c_attn',
  'blk.{}.attn_output': 'transformer.h.{}.attn.c_proj',
  'blk.{}.ffn_norm': 'transformer.h.{}.ln_2',
  'blk.{}.ffn_up': 'transformer.h.{}.mlp.c_fc',
  'blk.{}.ffn_down': 'transformer.h.{}.mlp.c_proj',
}
_NEOX = {
  'token_embd': 'gpt_neox.embed_in',
  'output_norm': 'gpt_neox.final_layer_norm',
  'output': 'embed_out',
  'blk.{}.attn_norm': 'gpt_neox.layers.{}.input_layernorm',
  'blk.{}.attn_qkv': 'gpt_neox.layers.{}.attention.query_key_value',
  'blk.{}.attn_output': 'gpt_neox.layers.{}.attention.dense',
  'blk.{}.ffn_norm': 'gpt_neox.layers.{}.post_attention_layernorm',
  'blk.{}.ffn_up': 'gpt_neox.layers.{}.mlp.dense_h_to_4h',
  'blk.{}.ffn_down': 'gpt_neox.layers.{}.mlp.dense_4h_to_h',
}
_BERT = {
  'token_embd': 'embeddings.word_embeddings',
  'position_embd': 'embeddings.position_embeddings',
  'token_types': 'embeddings.token_type_embeddings',
  'token_embd_norm': 'embeddings.LayerNorm',
  'blk.{}.attn_q': 'encoder.layer.{}.attention.self.query',
  'blk.{}.attn_k': 'encoder.layer.{}.attention.self.key',
  'blk.{}.attn_v': 'encoder.layer.{}.attention.self.value',
  'blk.{}.attn_output': 'encoder.layer.{}.attention.output.dense',
  'blk.{}.attn_output_norm': 'encoder.layer.{}.attention.output.LayerNorm',
  'blk.{}.ffn_up': 'encoder.layer.{}.intermediate.dense',
  'blk.{}.ffn_down': 'encoder.layer.{}.output.dense',
  'blk.{}.layer_output_norm': 'encoder.layer.{}.output.LayerNorm',
}

# By `general.architecture`. llama is also SmolLM, Mistral and TinyLlama; only
# its queries and keys are rearranged, Qwen's are not.
ARCHITECTURES: Mapping[str, Architecture] = {
  'llama': Architecture(_llama('llama'), _LLAMA, {
    'blk.{}.attn_q': _halves('num_attention_heads'),
    'blk.{}.attn_k': _halves('num_key_value_heads')}),
  'qwen2': Architecture(_llama('qwen2'), _LLAMA),
  'qwen3': Architecture(_llama('qwen3'), _LLAMA),
  'gpt2': Architecture(_gpt2, _GPT2, transposed=(
    'blk.{}.attn_qkv', 'blk.{}.attn_output', 'blk.{}.ffn_up',
    'blk.{}.ffn_down')),
  'gptneox': Architecture(_neox, _NEOX, {'blk.{}.attn_qkv': _interleaved}),
  'bert': Architecture(_bert, _BERT),
}
