"""GGUF files as llama.cpp's converter writes them, from folders of others.

Names come from the package `gguf`, so they are not ours; what the converter
rearranges is done here number by number.
"""

import json
import math
import pathlib

import gguf
import numpy as np
from gguf.quants import quantize
from safetensors.numpy import load_file

REFERENCES = pathlib.Path(__file__).parent / 'references'
ARCHITECTURES = {'llama': 'llama', 'mistral': 'llama', 'qwen2': 'qwen2',
                 'qwen3': 'qwen3', 'gpt2': 'gpt2', 'gpt_neox': 'gptneox',
                 'bert': 'bert'}
# What the converter leaves out.
LEFT_OUT = ('pooler.', 'cls.')


def write(path, architecture, fields, arrays, kinds=None, endian=None):
  """Writes a file.

  Args:
    path: of the file.
    architecture: general.architecture.
    fields: metadata; a key without a prefix gets the architecture's.
    arrays: float32 tensors by stored name, or bytes of blocks.
    kinds: the stored type of some of them by name.
    endian: little where it is not said.
  """
  kinds = kinds or {}
  writer = gguf.GGUFWriter(
    path, architecture, endianess=endian or gguf.GGUFEndian.LITTLE)
  for key, value in fields.items():
    key = key if key.startswith(('general.', 'tokenizer.', 'split.')) else (
      f'{architecture}.{key}')
    if isinstance(value, bool):
      writer.add_bool(key, value)
    elif isinstance(value, int):
      writer.add_int64(key, value)
    elif isinstance(value, float):
      writer.add_float32(key, value)
    elif isinstance(value, str):
      writer.add_string(key, value)
    else:
      writer.add_array(key, value)
  for name, array in arrays.items():
    kind = kinds.get(name, gguf.GGMLQuantizationType.F32)
    if array.dtype == np.float32:
      array = quantize(array, kind)
    writer.add_tensor(name, array, raw_dtype=kind)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return path


def converted(path, name, kinds=None, more=None):
  """A reference model as a GGUF file; returns its config and tensors too."""
  folder = REFERENCES / name
  theirs = json.loads((folder / 'config.json').read_text())
  arrays = load_file(folder / 'model.safetensors')
  arrays = {key.removeprefix('bert.'): array for key, array in arrays.items()}
  arrays = {key: array for key, array in arrays.items()
            if not key.startswith(LEFT_OUT)}
  architecture = ARCHITECTURES[theirs['model_type']]
  layers = theirs.get('num_hidden_layers', theirs.get('n_layer'))
  known = gguf.get_tensor_name_map(
    next(kind for kind, word in gguf.MODEL_ARCH_NAMES.items()
         if word == architecture), layers)
  stored = {}
  for key, array in arrays.items():
    stem, _, suffix = key.rpartition('.')
    stored[f'{known.get_name(stem)}.{suffix}'] = rearranged(
      theirs, stem.rpartition('.')[2], array)
  if theirs.get('rope_parameters', {}).get('rope_type') == 'llama3':
    stored['rope_freqs.weight'] = llama3_factors(theirs)
  write(path, architecture, {**fields(theirs), **(more or {})}, stored, kinds)
  return theirs, arrays


def fields(theirs):
  """What the converter says of a model."""
  def first(*keys):
    return next(theirs[key] for key in keys if theirs.get(key) is not None)

  heads, width = first('num_attention_heads', 'n_head'), first(
    'hidden_size', 'n_embd')
  found = {
    'block_count': first('num_hidden_layers', 'n_layer'),
    'context_length': first('max_position_embeddings', 'n_positions'),
    'embedding_length': width, 'attention.head_count': heads,
    'feed_forward_length': first('intermediate_size', 'n_inner')}
  epsilon = first('rms_norm_eps', 'layer_norm_eps', 'layer_norm_epsilon')
  found['attention.layer_norm_rms_epsilon' if 'rms_norm_eps' in theirs
        else 'attention.layer_norm_epsilon'] = float(epsilon)
  rope = theirs.get('rope_parameters')
  if 'num_key_value_heads' in theirs:
    head = theirs.get('head_dim') or width // heads
    found |= {
      'attention.head_count_kv': theirs['num_key_value_heads'],
      'rope.dimension_count': head, 'rope.freq_base': rope['rope_theta'],
      'vocab_size': theirs['vocab_size'], 'attention.key_length': head,
      'attention.value_length': head}
  if theirs['model_type'] == 'gpt_neox':
    found |= {
      'rope.dimension_count': int(rope['partial_rotary_factor']
                                  * (width // heads)),
      'rope.freq_base': rope['rope_theta'],
      'use_parallel_residual': theirs['use_parallel_residual']}
  if theirs['model_type'] == 'bert':
    found |= {'attention.causal': False, 'pooling_type': 1}
  if rope and rope['rope_type'] in ('linear', 'yarn'):
    found |= {'rope.scaling.type': rope['rope_type'],
              'rope.scaling.factor': rope['factor']}
  if rope and rope['rope_type'] == 'yarn':
    found |= {
      'rope.scaling.original_context_length':
        rope['original_max_position_embeddings'],
      'rope.scaling.yarn_beta_fast': rope['beta_fast'],
      'rope.scaling.yarn_beta_slow': rope['beta_slow']}
  return found


def rearranged(theirs, layer, array):
  """One tensor in the converter's order; `layer` is the last of its name."""
  kind = theirs['model_type']
  if kind in ('llama', 'mistral') and layer in ('q_proj', 'k_proj'):
    heads = theirs['num_attention_heads' if layer == 'q_proj'
                   else 'num_key_value_heads']
    head = len(array) // heads
    stored = np.empty_like(array)
    for h in range(heads):
      for pair in range(head // 2):
        for half in range(2):
          stored[h * head + 2 * pair + half] = array[
            h * head + half * (head // 2) + pair]
    return stored
  if kind == 'gpt2' and layer in ('c_attn', 'c_proj', 'c_fc'):
    return array if array.ndim == 1 else np.ascontiguousarray(array.T)
  if kind == 'gpt_neox' and layer == 'query_key_value':
    heads = theirs['num_attention_heads']
    head = len(array) // heads // 3
    stored = np.empty_like(array)
    for h in range(heads):
      for piece in range(3):
        for k in range(head):
          stored[(piece * heads + h) * head + k] = array[
            (h * 3 + piece) * head + k]
    return stored
  return array


def llama3_factors(theirs):
  """By how much each frequency is divided."""
  rope, head = theirs['rope_parameters'], theirs['head_dim']
  low = rope['original_max_position_embeddings'] / rope['low_freq_factor']
  high = rope['original_max_position_embeddings'] / rope['high_freq_factor']
  factors = []
  for i in range(0, head, 2):
    wave = 2 * math.pi * rope['rope_theta'] ** (i / head)
    if wave < high:
      factors.append(1.0)
    elif wave > low:
      factors.append(rope['factor'])
    else:
      smooth = (rope['original_max_position_embeddings'] / wave
                - rope['low_freq_factor']) / (
                  rope['high_freq_factor'] - rope['low_freq_factor'])
      factors.append(1 / ((1 - smooth) / rope['factor'] + smooth))
  return np.array(factors, np.float32)
