"""What of an imported folder is not as it was written is refused by name."""

import json
import re

import pytest
from safetensors.numpy import load_file, save_file
from test_folder import imported

from experiments.exchange import folder
from experiments.exchange.opening import opened
from model.pretrained.checkpoint import UnreadableModel


def rewrite(path, change):
  """Changes the record as somebody would who knows how it is made."""
  record = folder.recorded(path)
  change(record)
  checksum = folder._checksum(record)
  (path / folder.RECORD).write_text(json.dumps(record | {'checksum': checksum}))


def flip(path, at):
  content = bytearray(path.read_bytes())
  content[at] ^= 1
  path.write_bytes(content)


def test_a_byte_that_flips_is_refused_by_name(tmp_path):
  path = imported(tmp_path).path / 'parameters-00001.safetensors'
  flip(path, path.stat().st_size - 1)
  with pytest.raises(UnreadableModel, match=(
      rf"{path.name}: the bytes of '[\w/]+' are not those")):
    opened(path.parent).params()


@pytest.mark.parametrize(('change', 'says'), [
  (lambda record: record.update(schema=0), 'schema 0 is of another version'),
  (lambda record: record.update(family='lama'), "family 'lama' is none of"),
  (lambda record: record['config'].update(depth=3),
   'config.depth: ModelConfig'),
  (lambda record: record['config'].update(n_layers=4), 'do not make an array'),
  (lambda record: record['parameters'].pop('norm/scale_D'),
   "'norm/scale_D' is missing"),
  (lambda record: record['parameters'].update({'norm/b_D': []}),
   "'norm/b_D' is no parameter"),
  (lambda record: record['parameters']['norm/scale_D'][0].update(key='x'),
   "'x' is missing"),
  (lambda record: record['parameters']['norm/scale_D'][0].update(
    file='../ours/parameters-00001.safetensors'), 'not the plain name'),
  (lambda record: record['parameters']['norm/scale_D'][0].update(
    file='/etc/passwd'), 'not the plain name'),
  (lambda record: record.pop('source'), "not what Fathom writes (KeyError('so"),
  (lambda record: record.update(config=3), 'is not what Fathom writes'),
  (lambda record: record.update(pooling='max'), 'is not what Fathom writes'),
  (lambda record: record.update(fingerprint=None), 'is not what Fathom writes'),
  (lambda record: record.update(longest='256'), 'is not what Fathom writes'),
  (lambda record: record['config']['mixer'].update(n_heads=3), folder.RECORD),
  (lambda record: record['parameters']['norm/scale_D'][0].update(shape=[]),
   'is not what Fathom writes'),
  (lambda record: record['parameters']['norm/scale_D'][0].update(more=1),
   'is not what Fathom writes'),
  (lambda record: record.update(tokenizer={'file': '../x', 'sha256': ''}),
   'not the plain name')])
def test_a_record_that_lies_is_refused(tmp_path, change, says):
  path = imported(tmp_path).path
  rewrite(path, change)
  with pytest.raises(ValueError, match=re.escape(says)):
    opened(path)


def test_a_record_that_was_edited_is_refused(tmp_path):
  path = imported(tmp_path).path / folder.RECORD
  path.write_text(path.read_text().replace('"rms"', '"layer"'))
  with pytest.raises(UnreadableModel, match='is not what was written'):
    opened(path.parent)


def test_files_that_are_not_those_of_the_record_are_refused(tmp_path):
  path = imported(tmp_path).path / 'parameters-00001.safetensors'
  held = load_file(path)
  save_file(held | {'more': held['norm/scale_D']}, path)
  with pytest.raises(UnreadableModel, match="'more' is one tensor too many"):
    opened(path.parent)
  path.unlink()
  with pytest.raises(UnreadableModel, match='no such file'):
    opened(path.parent)
