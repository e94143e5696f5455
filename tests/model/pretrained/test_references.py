"""Models that others saved compute what others compute.

`make_references.py` made the models and what transformers says of them.
"""

import dataclasses
import functools
import json
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy

import model
from model import pretrained
from model.feed_forward import FEED_FORWARDS
from model.position import POSITIONS
from model.pretrained import buffers, hugging_face, loading
from model.pretrained.checkpoint import UnreadableModel
from train import placement
from train.config import MeshConfig

REFERENCES = pathlib.Path(__file__).parent / 'references'
NAMES = sorted(path.parent.name
               for path in REFERENCES.glob('*/reference.npz'))
# Logits and hidden states are about 1; float32 on both sides.
TOLERANCE = 3e-5
SEEN = 1e-3  # a difference that rounding does not make


def opened(folder):
  found = hugging_face.read(folder)
  return found.family, found.config, loading.load(found)


@functools.cache
def original(name):
  return opened(REFERENCES / name)


@functools.cache
def program(config):
  """Parameters to what the reference holds: logits, or an encoder's stream."""
  encoder = config.unembedding == 'absent'

  def run(params, tokens_BT, valid_BT, types_BT):
    out = model.apply(config, params, tokens_BT, valid_BT=valid_BT,
                      types_BT=types_BT if encoder else None)
    return out.x_BTD if encoder else out.logits_BTV

  return jax.jit(run)


def difference(config, params, name):
  """The largest from the reference, at positions that are no padding."""
  reference = np.load(REFERENCES / name / 'reference.npz')
  tokens_BT = reference['input_ids'].astype(np.int32)
  valid_BT = reference['attention_mask'].astype(bool)
  types_BT = reference.get('token_type_ids', np.zeros_like(tokens_BT))
  ours = program(config)(params, tokens_BT, valid_BT, types_BT.astype(np.int32))
  theirs = reference['hidden' if 'hidden' in reference else 'logits']
  return np.abs(ours - theirs)[valid_BT].max()


def moved(params, path):
  """Parameters of which one is others."""
  return jax.tree_util.tree_map_with_path(
    lambda own, leaf: leaf + 0.1 * np.random.default_rng(0).standard_normal(
      leaf.shape, np.float32) if own == path else leaf, params)


@pytest.mark.parametrize('name', NAMES)
def test_outputs_are_the_reference_s(name, record_property):
  _, config, params = original(name)
  found = difference(config, params, name)
  record_property('difference', float(found))
  assert found < TOLERANCE


@pytest.mark.parametrize('name', NAMES)
def test_every_parameter_counts(name):
  _, config, params = original(name)
  for path, _ in jax.tree_util.tree_leaves_with_path(params):
    if path[-1].key == 'b_k_GK' and config.position_name != 'rotary':
      continue  # It adds the same to all scores of a query.
    assert difference(config, moved(params, path), name) > SEEN, path


@pytest.mark.parametrize('name', NAMES)
def test_parameters_are_those_of_the_config(name):
  _, config, params = original(name)
  shapes = jax.eval_shape(lambda: model.init(config, jax.random.key(0)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)


@pytest.mark.parametrize('name', NAMES)
def test_config_goes_there_and_back(name):
  family, config, _ = original(name)
  theirs = json.loads(json.dumps(family.theirs(config)))
  assert pretrained.family(theirs['model_type']) is family
  assert family.config(theirs) == config


@pytest.mark.parametrize('name', NAMES)
def test_tensors_go_there_and_back(name):
  family, config, params = original(name)
  theirs = safetensors.numpy.load_file(REFERENCES / name / 'model.safetensors')
  theirs = {family.spelled(key): value for key, value in theirs.items()
            if not family.ignores(family.spelled(key))}
  back = dict(loading.unload(family, config, params))
  assert back.keys() == theirs.keys()
  for key, value in theirs.items():
    np.testing.assert_array_equal(back[key], value, err_msg=key)


@pytest.mark.parametrize('name', NAMES)
def test_devices_have_their_shares(name, monkeypatch):
  *_, params = original(name)
  axes = dict.fromkeys(placement.AXES, 1) | {'fsdp': 2, 'tensor': 2}
  mesh = placement.make_mesh(MeshConfig(**axes), jax.devices()[:4])
  shardings = placement.parameter_shardings(params, mesh)
  monkeypatch.setattr(buffers, 'BLOCK', 50)
  shares = loading.load(hugging_face.read(REFERENCES / name), shardings)
  assert jax.tree.map(lambda leaf: leaf.sharding, shares) == shardings
  jax.tree.map(np.testing.assert_array_equal, shares, params)


def changed(tmp_path, name, rename=lambda key: key, added=None, **settings):
  """A copy of a folder with other names, tensors and settings."""
  source = REFERENCES / name
  tensors = safetensors.numpy.load_file(source / 'model.safetensors')
  tensors = {rename(key): value for key, value in tensors.items()}
  safetensors.numpy.save_file({**tensors, **(added or {})},
                              tmp_path / 'model.safetensors')
  theirs = json.loads((source / 'config.json').read_text())
  theirs = {key: value for key, value in {**theirs, **settings}.items()
            if value is not None}
  (tmp_path / 'config.json').write_text(json.dumps(theirs))
  return tmp_path


def old_norm(key):
  return key.replace('LayerNorm.weight', 'LayerNorm.gamma').replace(
    'LayerNorm.bias', 'LayerNorm.beta')


MASK = {'bias': np.tri(16, dtype=bool)[None, None],
        'masked_bias': np.array(-1e9, np.float32)}


@pytest.mark.parametrize(('name', 'rename', 'added'), [
  ('gpt2', lambda key: key.removeprefix('transformer.'),
   {f'h.1.attn.{key}': value for key, value in MASK.items()}),
  ('neox', lambda key: key.replace('embed_out', 'lm_head'),
   {**{f'gpt_neox.layers.0.attention.{key}': value
       for key, value in MASK.items()},
    'gpt_neox.layers.0.attention.rotary_emb.inv_freq': np.ones(2)}),
  ('bert', lambda key: f'bert.{old_norm(key)}',
   {'bert.embeddings.position_ids': np.arange(16)[None],
    'cls.seq_relationship.bias': np.zeros(2)}),
  ('bert-masked', lambda key: old_norm(key.removeprefix('bert.')), {}),
])
def test_other_spellings_are_the_same_model(tmp_path, name, rename, added):
  _, config, params = opened(changed(tmp_path, name, rename, added))
  assert config == original(name)[1]
  jax.tree.map(np.testing.assert_array_equal, params, original(name)[2])


def embedding(name):
  tensors = safetensors.numpy.load_file(REFERENCES / name / 'model.safetensors')
  return next(value for key, value in tensors.items()
              if key.endswith(('wte.weight', 'embed_tokens.weight')))


@pytest.mark.parametrize('name', ['gpt2', 'llama-tied', 'qwen2'])
def test_a_tied_head_may_be_there_too(tmp_path, name):
  head = {'lm_head.weight': embedding(name)}
  _, config, params = opened(changed(tmp_path, name, added=head))
  assert config.unembedding == 'tied'
  jax.tree.map(np.testing.assert_array_equal, params, original(name)[2])


@pytest.mark.parametrize('name', ['gpt2', 'llama-tied', 'qwen2'])
def test_a_tied_head_may_be_there_alone(tmp_path, name):
  def rename(key):
    tied = key.endswith(('wte.weight', 'embed_tokens.weight'))
    return 'lm_head.weight' if tied else key

  _, _, params = opened(changed(tmp_path, name, rename))
  jax.tree.map(np.testing.assert_array_equal, params, original(name)[2])


@pytest.mark.parametrize('name', ['gpt2', 'llama-tied', 'qwen2'])
def test_a_head_of_its_own_is_read(tmp_path, name):
  head = {'lm_head.weight': 2 * embedding(name)}
  folder = changed(tmp_path, name, added=head, tie_word_embeddings=False)
  _, config, params = opened(folder)
  np.testing.assert_array_equal(params['unembedding']['w_DV'],
                                2 * embedding(name).T)
  assert difference(config, params, name) > SEEN


@pytest.mark.parametrize('name', ['llama', 'mistral', 'qwen3', 'neox'])
def test_a_head_that_is_missing_is_named(tmp_path, name):
  def rename(key):
    return 'model.norm.extra' if key in (
      'lm_head.weight', 'embed_out.weight') else key

  with pytest.raises(UnreadableModel, match=r'lm_head|embed_out'):
    opened(changed(tmp_path, name, rename))


# What transformers wrote before its fifth version.
@pytest.mark.parametrize(('name', 'settings'), [
  ('llama', {'rope_theta': 10000.0}),
  ('llama-linear', {'rope_theta': 1000.0, 'rope_scaling': {
    'type': 'linear', 'factor': 4.0}}),
  ('llama-scaled', {'rope_theta': 1000.0, 'rope_scaling': {
    'rope_type': 'llama3', 'factor': 8.0, 'low_freq_factor': 1.0,
    'high_freq_factor': 4.0, 'original_max_position_embeddings': 64}}),
  ('qwen2-yarn', {'rope_theta': 1000.0, 'rope_scaling': {
    'type': 'yarn', 'factor': 8.0, 'beta_fast': 4.0,
    'original_max_position_embeddings': 64}}),
  ('neox', {'rotary_pct': 0.25, 'rotary_emb_base': 10000}),
  ('neox', {}),
  ('neox-sequential', {'rotary_pct': 1.0, 'rotary_emb_base': 500}),
])
def test_older_configs_say_the_same(name, settings):
  theirs = json.loads((REFERENCES / name / 'config.json').read_text())
  del theirs['rope_parameters']
  family, config, _ = original(name)
  assert family.config({**theirs, **settings}) == config


def test_names_of_other_families_are_known():
  theirs = json.loads((REFERENCES / 'gpt2' / 'config.json').read_text())
  names = {'n_embd': 'hidden_size', 'n_head': 'num_attention_heads',
           'n_layer': 'num_hidden_layers',
           'n_positions': 'max_position_embeddings'}
  family, config, _ = original('gpt2')
  assert family.config({names.get(key, key): value
                        for key, value in theirs.items()}) == config
  assert family.config({**theirs, 'num_attention_heads': 4}) == config


@pytest.mark.parametrize(('name', 'settings'), [
  ('gpt2', {'scale_attn_weights': False}),
  ('gpt2', {'scale_attn_by_inverse_layer_idx': True}),
  ('gpt2', {'add_cross_attention': True}),
  ('gpt2', {'activation_function': 'mish'}),
  ('gpt2', {'num_attention_heads': 2}),  # and n_head is 4
  ('gpt2', {'is_causal': False}),
  ('llama', {'is_causal': None}),
  ('qwen3', {'is_causal': False}),
  ('neox', {'is_causal': False}),
  ('neox', {'hidden_act': 'xielu'}),
  ('neox', {'rotary_pct': 0.2, 'rope_parameters': None}),  # 3 of 16
  ('neox', {'rope_parameters': {'rope_type': 'dynamic', 'factor': 2.0}}),
  ('bert', {'position_embedding_type': 'relative_key'}),
  ('bert', {'is_decoder': True}),
  ('bert', {'hidden_size': 'sixteen'}),
  ('gpt2', {'n_head': 3}),
  ('neox', {'num_attention_heads': 0}),
  ('bert', {'num_hidden_layers': 10**9}),
])
def test_what_is_not_computed_is_refused(name, settings):
  theirs = json.loads((REFERENCES / name / 'config.json').read_text())
  family, _, _ = original(name)
  with pytest.raises(UnreadableModel, match=next(iter(settings))):
    family.config({**theirs, **settings})


@pytest.mark.parametrize(('name', 'part', 'changes', 'field'), [
  ('gpt2', '', {'position': POSITIONS['rotary']()}, 'model.position'),
  ('gpt2', '', {'layers': 'tied'}, 'model.layers'),
  ('gpt2', '', {'mixer': model.MIXERS['gru']()}, 'model.mixer'),
  ('gpt2', 'mixer', {'qkv_bias': False}, 'model.mixer.qkv_bias'),
  ('gpt2', 'mixer', {'n_kv_heads': 2}, 'model.mixer.n_kv_heads'),
  ('gpt2', 'feed_forward', {'bias': False}, 'model.feed_forward.bias'),
  ('neox', '', {'norm': 'rms'}, 'model.norm'),
  ('neox', '', {'norm_placement': 'scaled'}, 'model.norm_placement'),
  ('neox', '', {'position': POSITIONS['alibi']()}, 'model.position'),
  ('neox', 'mixer', {'out_bias': False}, 'model.mixer.out_bias'),
  ('neox', 'mixer', {'qk_norm': 'head'}, 'model.mixer.qk_norm'),
  ('neox', '', {'feed_forward': FEED_FORWARDS['gated']()},
   'model.feed_forward'),
  ('bert', '', {'embedding_norm': False}, 'model.embedding_norm'),
  ('bert', '', {'mask': 'causal'}, 'model.mask'),
])
def test_what_they_do_not_have_is_named(name, part, changes, field):
  family, config, _ = original(name)
  if part:
    changes = {part: dataclasses.replace(getattr(config, part), **changes)}
  with pytest.raises(model.ConfigError, match=f'^{field}='):
    family.theirs(dataclasses.replace(config, **changes))


def test_what_computes_nothing_else_is_written():
  family, config, _ = original('neox')
  other = dataclasses.replace(config, parameterisation='completep', unroll=1,
                              dtype='bfloat16', init_scale=2.0)
  assert family.theirs(other) == family.theirs(config)
