"""`fathom data` from its command line."""

import sys

import pytest

from experiments.commands import main


def fathom(*arguments):
  with pytest.raises(SystemExit) as stopped:
    main.main(['data', *map(str, arguments)])
  return stopped.value.code


@pytest.fixture
def book(tmp_path):
  path = tmp_path / 'book.txt'
  path.write_text(''.join(f'Paragraph {i} of a book.\n\n'
                          for i in range(9000)))
  return path


def test_prepares_and_verifies(book, tmp_path, capsys):
  out = tmp_path / 'out'
  assert fathom('prepare', book, f'--out={out}', '--workers=1') == 0
  printed = capsys.readouterr().out
  assert 'train: ' in printed
  assert f'--config.data.text_path={out}' in printed
  assert fathom('verify', out) == 0
  shard = out / 'train-00000.bin'
  shard.write_bytes(shard.read_bytes()[:-1])
  assert fathom('verify', out) == 2
  assert 'train-00000.bin is cut off' in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'says'), [
  (['prepar'], 'did you mean prepare'),
  (['prepare', '--out=x'], 'name the files'),
  (['prepare', 'BOOK'], '--out is missing'),
  (['prepare', 'BOOK', '--out=OUT', '--held-out=1'], '--held-out=1.0 must'),
  (['prepare', 'BOOK', '--out=OUT', '--max-bad=2'], 'max-bad'),
  (['prepare', 'BOOK', '--out=OUT', '--workers=0'], 'workers'),
  (['prepare', 'BOOK', '--out=OUT', '--shard_byte=5'], 'shard'),
  (['prepare', 'BOOK', '--out=OUT', '--shard-bytes=5'], 'makes 4'),
  (['prepare', 'BOOK', '--out=OUT', '--tokenizer=bep'], "--tokenizer: 'bep'"),
  (['prepare', 'BOOK', '--out=OUT', '--tokenizer=bpe', '--vocab-size=99'],
   '--vocab-size: 99 is too small'),
  (['prepare', 'nothing.txt', '--out=OUT'], 'nothing.txt cannot be read'),
  (['verify'], 'name one folder'),
  (['verify', 'OUT'], 'no such folder'),
])
def test_bad_usage_is_one_message_and_exit_code_2(arguments, says, book,
                                                  tmp_path, capsys):
  filled = [a.replace('BOOK', str(book)).replace('OUT', str(tmp_path / 'out'))
            for a in arguments]
  assert fathom(*filled) == 2
  message = capsys.readouterr().err
  assert message.startswith('fathom: ')
  assert says in message


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch,
                                                   capsys):
  (tmp_path / 'in.jsonl.zst').write_bytes(b'\x28\xb5\x2f\xfd')
  monkeypatch.setitem(sys.modules, 'zstandard', None)
  assert fathom('prepare', tmp_path / 'in.jsonl.zst',
                f'--out={tmp_path / "out"}', '--workers=1') == 2
  assert "pip install -e '.[zstd]'" in capsys.readouterr().err


def test_malformed_lines_are_printed(tmp_path, capsys):
  path = tmp_path / 'in.jsonl'
  path.write_text(''.join(f'{{"text": "document {i}"}}\n' for i in range(99))
                  + 'oops\n')
  assert fathom('prepare', path, f'--out={tmp_path / "out"}',
                '--workers=1', '--held-out=0.4') == 0
  printed = capsys.readouterr().out
  assert '1 of 100 lines were malformed' in printed
  assert f'{path}:100: not JSON' in printed
