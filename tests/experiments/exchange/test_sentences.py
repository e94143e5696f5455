import json

import numpy as np
import pytest

from experiments.exchange import sentences
from model.pretrained.checkpoint import UnreadableModel

MEAN = {'pooling_mode_mean_tokens': True, 'pooling_mode_cls_token': False}
CLS = {'pooling_mode_cls_token': True}
BOTH = {**MEAN, **CLS}


def write(path, *kinds, pooling=None, place='1_Pooling'):
  (path / sentences.MODULES).write_text(json.dumps([
    {'type': f'sentence_transformers.models.{kind}',
     'path': place if kind == 'Pooling' else ''} for kind in kinds]))
  if pooling is not None:
    (path / place).mkdir()
    (path / place / 'config.json').write_text(json.dumps(pooling))


@pytest.mark.parametrize(('kinds', 'pooling', 'found'), [
  (('Transformer', 'Pooling', 'Normalize'), MEAN, ('mean', True, 0)),
  (('Transformer', 'Pooling'), CLS, ('cls', False, 0)),
  (('Transformer', 'Pooling', 'Normalize'), BOTH, ('', False, 0)),
  (('Transformer', 'Pooling', 'Dense'), MEAN, ('', False, 0)),
  (('Transformer',), None, ('', False, 0))])
def test_pooling_is_what_the_modules_say(tmp_path, kinds, pooling, found):
  write(tmp_path, *kinds, pooling=pooling)
  assert sentences.read(tmp_path) == found


@pytest.mark.parametrize(('file', 'said', 'found'), [
  ('sentence_bert_config.json', {'do_lower_case': True}, ''),
  ('sentence_bert_config.json', {'do_lower_case': False}, 'mean'),
  ('config_sentence_transformers.json', {'default_prompt_name': 'query'}, ''),
  ('config_sentence_transformers.json', {'default_prompt_name': None}, 'mean')])
def test_what_changes_a_text_first_is_not_computed(
    tmp_path, file, said, found):
  write(tmp_path, 'Transformer', 'Pooling', pooling=MEAN)
  (tmp_path / file).write_text(json.dumps(said))
  assert sentences.read(tmp_path)[0] == found


def test_vectors_are_of_texts_up_to_a_length(tmp_path):
  write(tmp_path, 'Transformer', 'Pooling', pooling=MEAN)
  settings = tmp_path / sentences.SETTINGS
  settings.write_text('{"max_seq_length": 256}')
  assert sentences.read(tmp_path) == ('mean', False, 256)
  for wrong in ('"256"', '0', 'true'):
    settings.write_text(f'{{"max_seq_length": {wrong}}}')
    with pytest.raises(UnreadableModel, match='and not a number'):
      sentences.read(tmp_path)


def test_a_folder_without_modules_is_no_sentence_encoder(tmp_path):
  assert sentences.read(tmp_path) == ('', False, 0)


def test_modules_that_lead_elsewhere_are_refused(tmp_path):
  (tmp_path / 'model').mkdir()
  write(tmp_path / 'model', 'Transformer', 'Pooling', pooling=MEAN,
        place='../1_Pooling')
  with pytest.raises(UnreadableModel, match='not the plain name of a folder'):
    sentences.read(tmp_path / 'model')
  (tmp_path / 'model' / sentences.MODULES).write_text('{"type": 3}')
  with pytest.raises(UnreadableModel, match='not a list of modules'):
    sentences.read(tmp_path / 'model')


def test_padding_is_no_part_of_a_vector():
  x_BTD = np.array([[[3.0, 0.0], [3.0, 8.0], [99.0, 99.0]]])
  valid_BT = np.array([[True, True, False]])
  mean = sentences.pooled(x_BTD, valid_BT, 'mean', False)
  np.testing.assert_allclose(mean, [[3.0, 4.0]])
  np.testing.assert_allclose(
    sentences.pooled(x_BTD, valid_BT, 'mean', True), [[0.6, 0.8]])
  np.testing.assert_allclose(
    sentences.pooled(x_BTD, valid_BT, 'cls', False), [[3.0, 0.0]])
