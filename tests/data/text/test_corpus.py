"""What is read, where it is cut, what is held out."""

import hashlib
import os
import pathlib

import pytest

from data.errors import InputError
from data.text import corpus

PARAGRAPHS = ''.join(
  f'Paragraph {i} of a book.\r\nIt has two lines, é and 🙂.\n\n' * 9 + '\n'
  for i in range(120))


def write(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return str(path)


def refusal(path):
  with pytest.raises(InputError) as error:
    corpus.read(str(path))
  message = str(error.value)
  assert message.startswith('data.source.text_path: ')
  assert '\n' not in message
  assert error.value.__suppress_context__ or not error.value.__context__
  return message


def test_embedded_prose_has_a_document_per_chapter():
  documents = corpus.read('')
  assert len(documents) > 50
  assert sum(map(len, documents)) > 300_000
  assert documents == corpus.read('')


def test_a_file_is_cut_between_paragraphs_and_nothing_is_lost(tmp_path):
  path = write(tmp_path / 'book.anything', '\ufeff' + PARAGRAPHS)
  documents = corpus.read(path)
  assert ''.join(documents) == '\ufeff' + PARAGRAPHS
  assert all(d.endswith('\n\n') for d in documents)
  sizes = [len(d) for d in documents[:-1]]
  assert min(sizes) >= corpus.DOCUMENT_CHARACTERS
  assert max(sizes) < 2 * corpus.DOCUMENT_CHARACTERS


@pytest.mark.parametrize('text', [
  'a line\n' * 5000,  # no blank line
  '深' * 50_000,  # no line at all
  'short paragraph\n\n' * 3 + 'x y ' * 20_000,  # one paragraph is nearly all
  PARAGRAPHS[:900],  # shorter than one document
])
def test_a_file_without_paragraphs_is_cut_too(tmp_path, text):
  documents = corpus.read(write(tmp_path / 'f.txt', text))
  assert ''.join(documents) == text
  assert len(documents) >= corpus.LEAST_DOCUMENTS // 2
  assert max(map(len, documents)) <= len(text) / 2


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
  write(tmp_path / 'b.txt', 'second')
  write(tmp_path / 'a' / 'z.MD', 'first')
  write(tmp_path / 'c' / 'd' / 'e.rst', 'third')
  write(tmp_path / 'blank.txt', ' \n')
  write(tmp_path / 'picture.png', b'\x89PNG\xff')
  write(tmp_path / '.git' / 'hidden.txt', b'\xff')
  write(tmp_path / '.hidden.txt', b'\xff')
  assert corpus.read(str(tmp_path)) == ['first', 'second', 'third']


def test_a_folder_of_one_file_counts_as_the_file(tmp_path):
  path = write(tmp_path / 'only.txt', PARAGRAPHS)
  assert corpus.read(str(tmp_path)) == corpus.read(path)


def test_home_is_expanded(tmp_path, monkeypatch):
  write(tmp_path / 'book.txt', PARAGRAPHS)
  monkeypatch.setenv('HOME', str(tmp_path))
  assert ''.join(corpus.read('~/book.txt')) == PARAGRAPHS


def test_fingerprint_is_that_of_the_file(tmp_path):
  documents = corpus.read(write(tmp_path / 'f.txt', PARAGRAPHS))
  content = PARAGRAPHS.encode()
  found = corpus.fingerprint(documents)
  assert {k: found[k] for k in ('sha256', 'documents', 'bytes')} == {
    'sha256': hashlib.sha256(content).hexdigest(),
    'documents': len(documents), 'bytes': len(content)}


def test_fingerprint_knows_where_documents_end():
  assert corpus.fingerprint(['ab', 'c']) != corpus.fingerprint(['a', 'bc'])


def test_splits_are_disjoint_ordered_and_whole():
  documents = [f'document {i}' for i in range(1000)]
  train, validation = corpus.split(documents, 0.1)
  assert not set(train) & set(validation)
  assert sorted(train + validation) == sorted(documents)
  assert train == [d for d in documents if d in set(train)]
  assert 70 <= len(validation) <= 130  # 100 ± 3 standard deviations


def test_split_looks_at_the_order_alone():
  _, few = corpus.split([f'a {i}' for i in range(50)], 0.2)
  _, more = corpus.split([f'b {i}' for i in range(90)], 0.2)
  assert [d[2:] for d in few] == [d[2:] for d in more if int(d[2:]) < 50]


@pytest.mark.parametrize('held_out', [1e-9, 0.1, 0.5, 1 - 1e-9])
@pytest.mark.parametrize('count', [2, 3, 7])
def test_neither_split_is_empty(held_out, count):
  train, validation = corpus.split([str(i) for i in range(count)], held_out)
  assert train
  assert validation
  assert len(train) + len(validation) == count


@pytest.mark.parametrize('held_out', [0, 1, -0.1, 2, float('nan')])
def test_a_share_out_of_range_is_refused(held_out):
  with pytest.raises(InputError, match=r'source\.held_out: .* between 0 and 1'):
    corpus.split(['a', 'b'], held_out)


def test_a_single_document_is_refused():
  with pytest.raises(InputError, match='one document of 2 bytes'):
    corpus.split(['é'], 0.1)


def test_missing_path_is_named(tmp_path):
  message = refusal(tmp_path / 'nowhere.txt')
  assert 'nowhere.txt cannot be read: No such file' in message


def test_not_utf8_names_the_file_and_the_byte(tmp_path):
  write(tmp_path / 'good.txt', 'good')
  write(tmp_path / 'sub' / 'latin.txt', 'caf\xe9 noir'.encode('latin-1'))
  message = refusal(tmp_path)
  assert 'latin.txt is not UTF-8 at byte 3' in message
  assert 'iconv' in message


@pytest.mark.parametrize('content', ['', ' \n\t\r\n', '\ufeff\n'])
def test_empty_file_is_refused(tmp_path, content):
  assert 'holds no text' in refusal(write(tmp_path / 'f.txt', content))


def test_folder_without_text_names_the_suffixes(tmp_path):
  write(tmp_path / 'picture.png', b'\x89PNG')
  message = refusal(tmp_path)
  assert 'without a' in message
  assert all(suffix in message for suffix in corpus.SUFFIXES)


def test_unreadable_paths_are_refused(tmp_path):
  loop = tmp_path / 'loop.txt'
  loop.symlink_to(loop)
  assert 'cannot be read' in refusal(loop)
  assert 'cannot be read' in refusal(tmp_path / ('x' * 300))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
  os.mkfifo(tmp_path / 'pipe')
  assert 'neither a file nor a folder' in refusal(tmp_path / 'pipe')


@pytest.mark.skipif(not pathlib.Path('/proc/self/mem').exists(),
                    reason='a file that opens and cannot be read: Linux only')
def test_a_read_error_is_one_message():
  assert '/proc/self/mem cannot be read' in refusal('/proc/self/mem')
