"""GGUF files read as the folders that they were made from, to the bit."""

import itertools
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

gguf = pytest.importorskip('gguf')

import gguf_files  # noqa: E402
from gguf.quants import dequantize  # noqa: E402

import model  # noqa: E402
from model import pretrained  # noqa: E402
from model.pretrained import hugging_face  # noqa: E402
from model.pretrained.gguf import GGUFCheckpoint  # noqa: E402

KIND = gguf.GGMLQuantizationType
MODELS = sorted(path.parent.name for path in
                gguf_files.REFERENCES.glob('*/config.json'))
# The head of a masked BERT is not in a file, and so not in the config.
CONFIGS = [name for name in MODELS if name != 'bert-masked']
# What a file does not say, or says otherwise, without a change in what is
# computed: a llama has its window in no field.
UNSAID = {'mistral': {'sliding_window': None, 'model_type': 'llama'}}


def whole(checkpoint, name):
  shape = checkpoint.tensors[name].shape
  return checkpoint.read(name, tuple(slice(0, size) for size in shape))


@pytest.mark.parametrize('name', MODELS)
def test_tensors_are_those_of_the_folder(tmp_path, name):
  _, arrays = gguf_files.converted(tmp_path / 'm.gguf', name)
  checkpoint = GGUFCheckpoint(tmp_path / 'm.gguf')
  assert checkpoint.tensors.keys() == arrays.keys()
  for key, array in arrays.items():
    assert checkpoint.tensors[key] == (array.shape, 'F32')
    np.testing.assert_array_equal(whole(checkpoint, key), array)


@pytest.mark.parametrize('name', CONFIGS)
def test_config_and_parameters_are_those_of_the_folder(tmp_path, name):
  theirs, _ = gguf_files.converted(tmp_path / 'm.gguf', name)
  checkpoint = GGUFCheckpoint(tmp_path / 'm.gguf')
  found = hugging_face.contents(checkpoint.theirs, checkpoint)
  theirs |= UNSAID.get(name, {})
  assert found.config == found.family.config(theirs)
  folder = hugging_face.contents(theirs, pretrained.SafetensorsCheckpoint(
    gguf_files.REFERENCES / name))
  jax.tree.map(np.testing.assert_array_equal, pretrained.load(found),
               pretrained.load(folder))


@pytest.mark.parametrize('name', ['mistral', 'qwen2'])
def test_a_window_is_all_that_is_read(tmp_path, name):
  gguf_files.converted(tmp_path / 'm.gguf', name,
                       more={'attention.sliding_window': 5})
  theirs = GGUFCheckpoint(tmp_path / 'm.gguf').theirs
  family = pretrained.family(theirs['model_type'])
  assert family.config(theirs).max_length == 5


# The others have a folder's parameters; folders are tested for logits.
@pytest.mark.parametrize('name', ['llama-scaled'])
def test_logits_are_the_reference_s(tmp_path, name):
  gguf_files.converted(tmp_path / 'm.gguf', name)
  checkpoint = GGUFCheckpoint(tmp_path / 'm.gguf')
  loaded = hugging_face.contents(checkpoint.theirs, checkpoint)
  config, params = loaded.config, pretrained.load(loaded)
  reference = np.load(gguf_files.REFERENCES / name / 'reference.npz')
  valid_BT = reference['attention_mask'].astype(bool)
  found = model.apply(config, params, jnp.asarray(reference['input_ids']),
                      valid_BT=jnp.asarray(valid_BT))
  np.testing.assert_allclose(
    np.asarray(found.logits_BTV)[valid_BT], reference['logits'][valid_BT],
    atol=1e-4, rtol=0)


@pytest.mark.parametrize('name', ['llama', 'llama-scaled', 'neox', 'gpt2'])
def test_a_slice_is_that_of_the_whole(tmp_path, name):
  _, arrays = gguf_files.converted(tmp_path / 'm.gguf', name)
  checkpoint = GGUFCheckpoint(tmp_path / 'm.gguf')
  for key, array in arrays.items():
    for index in itertools.product(*(
        [slice(0, size), slice(1, 2), slice(size // 3, size - 1)]
        for size in array.shape)):
      np.testing.assert_array_equal(checkpoint.read(key, index), array[index])


def blocks(kind, rows, width):
  """Random blocks whose scales are small numbers."""
  block, size = gguf.GGML_QUANT_SIZES[kind]
  random = np.random.default_rng(0)
  return random.integers(0, 60, (rows, width // block * size), np.uint8)


@pytest.mark.parametrize('kind', [
  KIND.F16, KIND.BF16, KIND.Q8_0, KIND.Q4_0, KIND.Q4_1, KIND.Q5_0, KIND.Q5_1,
  KIND.Q2_K, KIND.Q3_K, KIND.Q4_K, KIND.Q5_K, KIND.Q6_K])
def test_quantised_rows_are_what_the_library_decodes(tmp_path, kind):
  rows, width, name = 8, 512, 'blk.0.attn_q.weight'
  try:
    random = np.random.default_rng(0).standard_normal((rows, width), np.float32)
    stored = gguf.quants.quantize(random, kind)
  except NotImplementedError:  # K-quants are made by llama.cpp alone
    stored = blocks(kind, rows, width)
  decoded = dequantize(stored, kind)
  assert len(np.unique(decoded)) > 10
  # Two heads of four: the pairs (0, 1) and (2, 3) are apart in theirs.
  theirs = decoded[[0, 2, 1, 3, 4, 6, 5, 7]]
  plain = np.zeros((8, width), np.float32)
  gguf_files.write(
    tmp_path / 'm.gguf', 'llama', {
      'block_count': 1, 'context_length': 8, 'embedding_length': width,
      'feed_forward_length': 8, 'attention.head_count': 2,
      'attention.key_length': 4, 'attention.layer_norm_rms_epsilon': 1e-5},
    {'token_embd.weight': plain, name: stored}, {name: kind})
  checkpoint = GGUFCheckpoint(tmp_path / 'm.gguf')
  key = 'model.layers.0.self_attn.q_proj.weight'
  assert checkpoint.tensors[key] == ((rows, width), kind.name)
  for index in ((slice(0, 8), slice(0, width)), (slice(3, 7), slice(0, width)),
                (slice(0, 8), slice(250, 300)), (slice(5, 6), slice(511, 512))):
    found = checkpoint.read(key, index)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, theirs[index])


def test_only_what_is_asked_for_is_decoded(tmp_path):
  rows, width = 4096, 1024
  stored = blocks(KIND.Q8_0, rows, width)
  gguf_files.write(
    tmp_path / 'm.gguf', 'llama', {
      'block_count': 1, 'context_length': 8, 'embedding_length': width,
      'feed_forward_length': 8, 'attention.head_count': 4,
      'attention.layer_norm_rms_epsilon': 1e-5},
    {'token_embd.weight': stored, 'blk.0.attn_q.weight': stored},
    dict.fromkeys(('token_embd.weight', 'blk.0.attn_q.weight'), KIND.Q8_0))
  checkpoint = GGUFCheckpoint(tmp_path / 'm.gguf')
  for key in checkpoint.tensors:
    for index in ((slice(8, 16), slice(0, width)),
                  (slice(0, 256), slice(32, 64))):
      tracemalloc.start()
      checkpoint.read(key, index)
      peak = tracemalloc.get_traced_memory()[1]
      tracemalloc.stop()
      assert peak < 400_000  # of 16 MiB


@pytest.mark.parametrize('copied', [True, False])
def test_a_head_that_copies_the_embedding_is_tied(tmp_path, copied):
  _, arrays = gguf_files.converted(tmp_path / 'm.gguf', 'gpt2')
  plain = arrays['transformer.wte.weight']
  head = plain.copy() if copied else plain + 1
  reader = gguf.GGUFReader(tmp_path / 'm.gguf')
  stored = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
  fields = {key.removeprefix('gpt2.'): field.contents()
            for key, field in reader.fields.items()
            if key.startswith('gpt2.')}
  gguf_files.write(tmp_path / 'old.gguf', 'gpt2', fields,
                   stored | {'output.weight': head})
  checkpoint = GGUFCheckpoint(tmp_path / 'old.gguf')
  assert checkpoint.theirs['tie_word_embeddings'] == copied
  assert ('lm_head.weight' in checkpoint.tensors) != copied
