"""Folders of models as others write them, small or spoilt."""

import json
import pathlib

import numpy as np
from safetensors.numpy import save_file

from model import pretrained
from model.pretrained import table
from model.pretrained.checkpoint import INDEX

REFERENCES = pathlib.Path(__file__).parent / 'references'
LLAMA = {
  'model_type': 'llama', 'hidden_size': 16, 'intermediate_size': 24,
  'num_hidden_layers': 2, 'num_attention_heads': 4, 'num_key_value_heads': 2,
  'vocab_size': 12, 'max_position_embeddings': 32}


def tensors(theirs, dtype=np.float32):
  """Random tensors of the names and shapes that a config asks for."""
  family = pretrained.family(theirs['model_type'])
  config = family.config(theirs)
  random = np.random.default_rng(0)
  shapes = table.tensors(family.table(config), config)
  return {name: random.standard_normal(shape, np.float32).astype(dtype)
          for name, shape in shapes.items()}


def write_folder(path, theirs=LLAMA, arrays=None, shards=1):
  """Writes config.json and safetensors, with an index when in shards.

  Args:
    path: of the folder.
    theirs: the config.
    arrays: tensors by name; random ones that fit when not given.
    shards: over how many files.
  """
  path = pathlib.Path(path)
  path.mkdir(parents=True, exist_ok=True)
  arrays = tensors(theirs) if arrays is None else arrays
  (path / 'config.json').write_text(json.dumps(theirs))
  if shards == 1:
    save_file(arrays, path / 'model.safetensors')
    return path
  places = {name: f'model-{at % shards + 1:05}-of-{shards:05}.safetensors'
            for at, name in enumerate(arrays)}
  for place in set(places.values()):
    save_file({name: array for name, array in arrays.items()
               if places[name] == place}, path / place)
  (path / INDEX).write_text(json.dumps({'weight_map': places}))
  return path
