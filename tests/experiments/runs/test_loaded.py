"""A model that was loaded reads texts, shows its inside and takes edits."""


import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import planted_run
import pytest

import fathom
import model
from data.config import DataConfig
from data.sources.text import TextConfig
from data.text.tokenizer import ByteTokenizer
from experiments.machine.usage import UsageError
from experiments.runs.loaded import Model
from model import (
  MIXERS,
  AttentionConfig,
  ConfigError,
  ModelConfig,
  sites,
)
from model.position import POSITIONS, LearnedPosition
from train import Config

TEXT = 'a depth\u00e9'
CONFIG = Config(
  ModelConfig(n_layers=3, d_model=8, mixer=AttentionConfig(n_heads=2)),
  DataConfig(TextConfig(length=16)))


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  return tmp_path_factory.mktemp('runs')


@pytest.fixture(scope='module')
def loaded(runs):
  return fathom.load(planted_run.plant(runs, CONFIG))


def apply(loaded, ids, taps=(), edits=None):
  """What the model itself computes, all of it kept."""
  return _apply(loaded.config, tuple(taps), loaded.params,
                np.asarray(ids)[None], edits)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _apply(config, taps, params, ids_BT, edits):
  return model.apply(config, params, ids_BT, dict.fromkeys(taps), edits)


def test_a_text_is_read_as_the_model_reads_its_ids(loaded):
  out = loaded.run(TEXT, taps=['resid_post'])
  expected = apply(loaded, list(TEXT.encode()), ['resid_post'])
  assert out.ids_T.tolist() == list(TEXT.encode())
  assert out.tokens[:3] == ['a', ' ', 'd']
  np.testing.assert_allclose(out.logits_TV, expected.logits_BTV[0], rtol=1e-5,
                             atol=1e-6)
  np.testing.assert_allclose(out.taps['resid_post'],
                             expected.taps['resid_post'][:, 0], rtol=1e-5,
                             atol=1e-6)
  assert out.taps['resid_post'].shape == (3, 9, 8)
  for ids in (loaded.tokenize(TEXT), jnp.array(out.ids_T), [*out.ids_T]):
    np.testing.assert_array_equal(out.logits_TV, loaded.run(ids).logits_TV)


@pytest.mark.parametrize('mixer', ['attention', 'gru'])
def test_padded_texts_are_read_as_each_alone(mixer):
  position = POSITIONS['rotary' if mixer == 'attention' else 'none']()
  config = ModelConfig(n_layers=2, d_model=8, mixer=MIXERS[mixer](),
                       vocab_size=11, max_length=9, position=position, unroll=1)
  held = Model(config, planted_run.params(config))
  rows = [[1, 2, 3, 4, 5, 6, 7], [8, 9]]
  sites_of = sites.available(config)
  out = held.run(rows, taps=sites_of)
  assert out.valid_BT.sum(1).tolist() == [7, 2]
  assert out.tokens[1] == ['8', '9']
  for b, row in enumerate(rows):
    alone, size = held.run(row, taps=sites_of), len(row)
    np.testing.assert_allclose(out.logits_BTV[b, :size], alone.logits_TV,
                               rtol=1e-4, atol=1e-5)
    assert np.isnan(out.logits_BTV[b, size:]).all()
    for site in sites_of:
      padded, own = out.taps[site][:, b], alone.taps[site]
      padded = (padded[:, :, :size, :size] if site == 'attention_pattern'
                else padded[:, :size])
      np.testing.assert_allclose(padded, own, rtol=1e-4, atol=1e-5)


def test_taps_of_every_site_have_the_shapes_that_are_promised(loaded):
  taps = loaded.run([1, 2, 3, 4], taps=sites.available(loaded.config)).taps
  assert {site: x.shape for site, x in taps.items()} == {
    **dict.fromkeys(('resid_pre', 'mixer_out', 'resid_mid', 'ffn_out',
                     'resid_post'), (3, 4, 8)),
    'attention_pattern': (3, 2, 4, 4), 'mixer_hidden': (3, 4, 2, 4),
    'ffn_hidden': (3, 4, 32)}
  np.testing.assert_allclose(taps['attention_pattern'].sum(-1), 1, rtol=1e-5)


def last(x_BTD):
  return x_BTD[:, -1]


def test_a_tap_may_keep_less(loaded):
  whole = loaded.run(TEXT, taps='resid_mid').taps['resid_mid']
  part = loaded.run(TEXT, taps={'resid_mid': last}).taps['resid_mid']
  np.testing.assert_allclose(part[:, 0], whole[:, -1], rtol=1e-5, atol=1e-6)


def test_edits_are_those_of_the_model(loaded):
  n, ids = loaded.config.n_layers, [5, 6, 7, 8]
  value_TD = np.random.default_rng(0).standard_normal((4, 8))
  made = {
    'replace': (fathom.replace('resid_mid', 1, value_TD),
                sites.replace(n, 1, value_TD)),
    'add': (fathom.add('resid_mid', 2, value_TD[0]),
            sites.add(n, 2, value_TD[0])),
    'scale': (fathom.scale('resid_mid', 0, 2.5), sites.scale(n, 0, 2.5)),
    'ablate': (fathom.ablate('resid_mid', 1), sites.ablate(n, 1))}
  plain = loaded.run(ids).logits_TV
  for change, edit in made.values():
    expected = apply(loaded, ids, edits={'resid_mid': edit}).logits_BTV[0]
    for given in ([change], change, {'resid_mid': edit}):
      found = loaded.run(ids, edits=given).logits_TV
      np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(np.subtract(found, plain)).max() > 1e-3


def test_layers_and_values_of_edits_compile_nothing(loaded, monkeypatch):
  traces = []

  def counted(*given, **named):
    traces.append(given)
    return apply_of_model(*given, **named)

  apply_of_model = model.apply
  monkeypatch.setattr(model, 'apply', counted)
  loaded.run([5, 6, 7], edits=[fathom.scale('ffn_out', 0, 0.5)])
  first = len(traces)
  assert first
  loaded.run([5, 6, 7], edits=[fathom.scale('ffn_out', 2, -1.0)])
  loaded.run([8, 9, 10], edits=[fathom.ablate('ffn_out', 1)])
  assert len(traces) == first


def test_several_edits_are_done_in_order_at_one_site_and_at_several(loaded):
  ids = [5, 6, 7, 8]
  value_TD = np.random.default_rng(0).standard_normal((4, 8))
  before = loaded.run(ids, taps=['resid_mid', 'ffn_out']).taps
  out = loaded.run(ids, taps=['resid_mid', 'ffn_out'], edits=[
    fathom.scale('resid_mid', 0, 2.0), fathom.add('resid_mid', 0, value_TD),
    fathom.scale('resid_mid', 0, -1.0), fathom.ablate('ffn_out', 2)]).taps
  np.testing.assert_allclose(
    out['resid_mid'][0], -(2 * before['resid_mid'][0] + value_TD), rtol=1e-5,
    atol=1e-6)
  np.testing.assert_array_equal(out['ffn_out'][2], 0)
  assert np.abs(out['ffn_out'][1]).max() > 0


def test_patching_in_another_texts_stream_gives_its_answer(loaded):
  other = loaded.run([9, 10, 11, 12], taps=['resid_mid'])
  patched = loaded.run([5, 6, 7, 8], edits=[
    fathom.replace('resid_mid', 1, other.taps['resid_mid'][1])])
  np.testing.assert_allclose(patched.logits_TV, other.logits_TV, rtol=1e-5,
                             atol=1e-5)


def test_the_lens_of_the_last_layer_is_the_prediction(loaded):
  out = loaded.run(TEXT, taps=['resid_post'])
  np.testing.assert_allclose(loaded.unembed(out.taps['resid_post'])[-1],
                             out.logits_TV, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('pooling', ['mean', 'cls'])
def test_an_encoder_makes_one_vector_of_a_text(pooling):
  config = ModelConfig(
    n_layers=2, d_model=8, mixer=AttentionConfig(n_heads=2), vocab_size=257,
    max_length=64, position=LearnedPosition(), mask='bidirectional',
    unembedding='absent', unroll=1)
  params = planted_run.params(config)
  held = Model(config, params, ByteTokenizer(), 'encoder', pooling, True)
  texts = ['one', 'another text']
  out = held.run(texts)
  assert out.logits_BTV is None
  together = held.embed(texts)
  np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(out.embedding_BD, together, rtol=1e-4, atol=1e-5)
  for text, expected in zip(texts, together):
    alone = held.run(text)
    assert alone.logits_TV is None
    np.testing.assert_allclose(alone.embedding_D, expected, rtol=1e-4,
                               atol=1e-5)
    np.testing.assert_allclose(held.embed(text), expected, rtol=1e-4, atol=1e-5)
    x_TD = apply(held, alone.ids_T).x_BTD[0]
    one_D = x_TD[0] if pooling == 'cls' else x_TD.mean(0)
    np.testing.assert_allclose(expected, one_D / np.linalg.norm(one_D),
                               rtol=1e-4, atol=1e-5)
  short = dataclasses.replace(held, longest=len('another'))
  np.testing.assert_array_equal(short.embed('one'), held.embed('one'))
  assert short.run(texts).embedding_BD is None
  with pytest.raises(UsageError, match='12 tokens, and encoder makes vectors of'
                                       ' 7 at most'):
    short.embed(texts)


@pytest.mark.parametrize(('text', 'says'), [
  ('', 'nothing to read'), ([], 'the list is empty'), ([[]], 'nothing to read'),
  ([1, 257], '257 is no id of run .*, which knows 0 to 256'),
  ([-1], '-1 is no id'), ([0.5], 'neither a text nor a list of ids'),
  ([[[1]]], 'neither a text nor'), ([[[1], [2, 3]]], 'neither a text nor'),
  (5, '5 is neither a text nor'), ({'a': 1}, 'neither a text nor'),
  (None, 'None is neither'), ([1, 'a'], 'neither a text nor'),
  ('half \ud83d', 'is no text in Unicode'),
  ('longer than sixteen', r'19 tokens, and run .* reads 16 \(model.max_len')])
def test_what_cannot_be_read_is_one_message(loaded, text, says):
  with pytest.raises(UsageError, match=says):
    loaded.run(text)


@pytest.mark.parametrize(('edits', 'says'), [
  ([fathom.add('resid_mid', 0, np.ones((3, 8)))],
   r"shape \(3, 8\) does not fit 'resid_mid', which is \(1, 4, 8\)"),
  ([fathom.add('resid_mid', 0, np.ones((2, 4, 8)))], r'\(2, 4, 8\) does not'),
  ([fathom.ablate('resid_mid', 3)], 'layer 3 is not one of the 3 layers'),
  # These would change nothing, and nobody would know.
  ([fathom.ablate('resid_mid', np.int64(3))], 'layer 3 is not one of the 3'),
  ([fathom.ablate('resid_mid', np.int32(-1))], 'layer -1 is not one of the 3'),
  ([fathom.ablate('resid_mid', 0.5)], 'layer 0.5 .*not a whole number'),
  ([fathom.ablate('resid_mid', True)], 'layer True .*not a whole number'),
  ([fathom.scale('resid_mid', 0, 'x')], 'is no number'),
  ([fathom.add('resid_mid', 0, 1j)], 'is no number'),
  ([fathom.add('resid_mid', 0, [1, [2]])], 'is no number'),
  (3, '3 is no list of edits'), ({'resid_mid': 3}, 'is no model.Edit'),
  ([fathom.ablate('resid_mod', 0)], 'did you mean resid_mid'),
  ([fathom.ablate('resid', 0)], "site 'resid'.*has the sites resid_pre"),
  (['resid_mid'], "'resid_mid' is no edit; use replace")])
def test_an_edit_that_does_not_fit_is_one_message(loaded, edits, says):
  with pytest.raises((UsageError, ConfigError), match=says):
    loaded.run([1, 2, 3, 4], edits=edits)


def test_a_site_that_is_not_there_is_named(loaded):
  with pytest.raises(ConfigError, match="site 'resid'"):
    loaded.run([1], taps=['resid'])


@pytest.mark.parametrize(('stream', 'says'), [
  (np.zeros(9), r'stream of shape \(9,\)'), (3.0, r'of shape \(\)')])
def test_a_stream_of_another_width_is_refused(loaded, stream, says):
  with pytest.raises(UsageError, match=says):
    loaded.unembed(stream)


def test_taps_that_are_no_list_are_refused(loaded):
  with pytest.raises(UsageError, match='taps: 3 is no list of sites'):
    loaded.run([1], taps=3)


def test_what_it_is_can_be_seen(loaded):
  assert 'run ' in repr(loaded)
  assert '3 layers of attention, d_model 8, vocabulary 257' in repr(loaded)
  shown = repr(loaded.run([1, 2], taps=['ffn_out']))
  assert shown == ("Reading(ids_T (2,), logits_TV (2, 257), taps['ffn_out'] "
                   '(3, 2, 8))')
  with pytest.raises(UsageError, match='how a text becomes one vector'):
    loaded.embed(TEXT)


@pytest.mark.parametrize('axes', [{'fsdp': 2}, {'data': 2, 'tensor': 2}])
def test_a_model_on_several_devices_is_the_same(axes, loaded, runs):
  split = fathom.load(loaded.name.removeprefix('run '), runs, axes)
  assert len(split.params['stack']['mixer']['w_q_DHK'].sharding.device_set) == (
    np.prod(list(axes.values())))
  out, alone = (m.run([TEXT, 'deep'], ['resid_post']) for m in (split, loaded))
  np.testing.assert_allclose(out.logits_BTV, alone.logits_BTV, atol=1e-5)
  np.testing.assert_allclose(out.taps['resid_post'], alone.taps['resid_post'],
                             atol=1e-5)
  assert split.generate(TEXT, 4, temperature=0) == (
    loaded.generate(TEXT, 4, temperature=0))


@pytest.mark.parametrize('mesh', [3, {'fsdp': 1.5}, {'fsdp': '2'}])
def test_a_mesh_is_numbers_by_axis(mesh):
  with pytest.raises(UsageError, match=r'mesh: .* is no number of devices'):
    fathom.load('.', mesh=mesh)


def test_a_mesh_has_the_axes_that_there_are(loaded, runs):
  with pytest.raises(UsageError, match=r"mesh: axis 'fdsp'.*did you mean fsdp"):
    fathom.load(loaded.name.removeprefix('run '), runs, {'fdsp': 2})
