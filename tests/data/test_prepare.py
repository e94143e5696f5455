"""Every byte arrives, whatever the kind of file, the processes, the kills."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from corpora import (
  all_texts,
  content,
  documents,
  prepare,
  texts,
  write_jsonl,
  write_parquet,
)

from data.errors import InputError
from data.prepare import work
from data.text import shards

ROOT = Path(__file__).parents[2]


def text_files(folder, found):
  folder.mkdir()
  for i, text in enumerate(found):
    (folder / f'{i:03}.txt').write_bytes(text.encode())
  return folder


def make(kind, folder, found):
  if kind == 'folder':
    return text_files(folder / 'in', found)
  if kind == 'parquet':
    return write_parquet(folder / 'in.parquet', found)
  if kind.endswith('zst'):
    pytest.importorskip('zstandard')
  return write_jsonl(folder / f'in.{kind}', found)


@pytest.mark.parametrize(
  'kind', ['folder', 'jsonl', 'jsonl.gz', 'jsonl.zst', 'parquet'])
def test_documents_come_back_whole_and_in_order(kind, tmp_path):
  found = documents()
  malformed, made = prepare([make(kind, tmp_path, found)], tmp_path / 'out',
                            held_out=0.3)
  assert malformed.count == 0
  held = {text for text in found if work.is_held_out(text.encode(), 0.3)}
  assert texts(made, 'train') == [t for t in found if t not in held]
  assert texts(made, 'validation') == [t for t in found if t in held]
  for split in shards.SPLITS:
    its = made.index['shards'][split]
    assert sum(s['documents'] for s in its) == len(texts(made, split))
    assert sum(s['bytes'] for s in its) == sum(
      len(t.encode()) for t in texts(made, split))
    assert sum(s['tokens'] for s in its) == len(made.streams[split])
  assert shards.verify(tmp_path / 'out') == []


@pytest.mark.parametrize('tokenizer', ['unigram', 'bpe'])
def test_trained_vocabularies_keep_every_byte(tokenizer, tmp_path):
  found = documents()
  _, made = prepare([write_jsonl(tmp_path / 'in.jsonl', found)],
                    tmp_path / 'out', tokenizer=tokenizer, vocab_size=420)
  assert made.tokenizer.vocab_size == 420
  assert sorted(all_texts(made)) == sorted(found)
  # The vocabulary of one corpus is that of the next.
  _, again = prepare([tmp_path / 'in.jsonl'], tmp_path / 'again',
                     tokenizer=str(tmp_path / 'out' / 'tokenizer.model'))
  for split in shards.SPLITS:
    assert (again.streams[split].whole() == made.streams[split].whole()).all()


def test_split_is_a_property_of_the_document(tmp_path):
  found = documents(200)
  split = {}
  for name, order in (('a', found), ('b', found[::-1]), ('c', found[::2])):
    _, made = prepare([write_jsonl(tmp_path / f'{name}.jsonl', order)],
                      tmp_path / name, held_out=0.2)
    for text in texts(made, 'validation'):
      assert split.setdefault(text, 'validation') == 'validation'
    for text in texts(made, 'train'):
      assert split.setdefault(text, 'train') == 'train'
  share = list(split.values()).count('validation') / len(split)
  assert 0.1 < share < 0.3


def test_a_large_text_is_cut_at_line_ends_and_loses_nothing(tmp_path):
  draw = random.Random(0)
  lines = [' '.join(['word'] * draw.randrange(12)) + '\n' for _ in range(20000)]
  text = '\ufeff' + ''.join(lines) + 'the end, without a newline'
  (tmp_path / 'in.txt').write_bytes(text.encode())
  whole, parts = (
    prepare([tmp_path / 'in.txt'], tmp_path / f'out{size}', held_out=0.2,
            shard_bytes=size)[1] for size in (10**9, 100_000))
  assert len(parts.index['shards']['train']) > 3
  for made in (whole, parts):
    found = all_texts(made)
    assert sum(map(len, found)) == len(text)
    assert all(t.endswith('\n') or t.endswith('newline') for t in found)
    assert all(t in text for t in found)
    assert max(len(t) for t in found) < 4 * 65536


def test_a_line_without_end_is_cut_between_characters(tmp_path):
  text = ''.join(random.Random(0).choices('深🙂é', k=1_200_000))
  (tmp_path / 'in.txt').write_bytes(text.encode())
  _, made = prepare([tmp_path / 'in.txt'], tmp_path / 'out', held_out=0.3)
  found = all_texts(made)
  assert len(found) == 4
  assert sum(map(len, found)) == len(text)
  assert set(''.join(found)) == set('深🙂é')


def several_inputs(folder, count=400):
  found = documents(count)
  folder.mkdir()
  write_jsonl(folder / 'a.jsonl', found[:count // 2])
  write_jsonl(folder / 'b.jsonl.gz', found[count // 2:-40])
  write_parquet(folder / 'c.parquet', found[-40:-20])
  text_files(folder / 'd', found[-20:])
  return folder


def test_number_of_processes_changes_nothing(tmp_path):
  inputs = several_inputs(tmp_path / 'in')
  for workers in (1, 2):
    prepare([inputs], tmp_path / str(workers), workers, tokenizer='bpe',
            vocab_size=420, shard_bytes=40_000)
  one, two = (content(tmp_path / name) for name in '12')
  assert one == two
  assert len([name for name in one if name.endswith('.bin')]) > 10


def command(inputs, out, *flags):
  return [sys.executable, '-m', 'experiments', 'data', 'prepare', str(inputs),
          f'--out={out}', '--tokenizer=bpe', '--vocab-size=420',
          '--shard-bytes=40000', *flags]


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
  """Inputs, and all that comes out of them."""
  folder = tmp_path_factory.mktemp('uninterrupted')
  inputs = several_inputs(folder / 'in', 1500)
  prepare([inputs], folder / 'out', tokenizer='bpe', vocab_size=420,
          shard_bytes=40_000)
  return inputs, content(folder / 'out')


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 2])
def test_killed_and_resumed_is_as_uninterrupted(workers, uninterrupted,
                                                tmp_path):
  inputs, expected = uninterrupted
  out, killed = tmp_path / 'killed', 0
  records = out / work.RECORDS

  def finished():
    return len(list(records.glob('*.json')) if records.exists() else [])

  for goal in (2, 9):  # parts that are finished when the kill comes
    process = subprocess.Popen(
      command(inputs, out, f'--workers={workers}'), cwd=ROOT,
      start_new_session=True, stdout=subprocess.DEVNULL)
    while process.poll() is None and finished() < goal:
      time.sleep(0.002)
    # The parent alone: its processes have to notice.
    process.kill()
    process.wait()
    # It may have come too late, where this process had to wait for a core.
    killed += not (out / shards.INDEX).exists()
  assert killed
  subprocess.run(command(inputs, out, f'--workers={workers}'), cwd=ROOT,
                 check=True, stdout=subprocess.DEVNULL)
  assert content(out) == expected


def test_finished_parts_are_not_done_again(tmp_path):
  inputs = several_inputs(tmp_path / 'in')
  settings = {'shard_bytes': 40_000}
  prepare([inputs], tmp_path / 'whole', **settings)
  (tmp_path / 'in' / 'b.jsonl.gz').rename(tmp_path / 'b')
  (tmp_path / 'in' / 'b.jsonl.gz').write_bytes(b'not gzip')
  os.utime(tmp_path / 'in' / 'b.jsonl.gz', ns=(0, 0))
  with pytest.raises(InputError, match=r'b\.jsonl\.gz is damaged after line 0'):
    prepare([inputs], tmp_path / 'out', **settings)
  finished = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').glob('*.bin')}
  assert len(finished) >= 4
  (tmp_path / 'b').replace(tmp_path / 'in' / 'b.jsonl.gz')
  prepare([inputs], tmp_path / 'out', **settings)
  assert content(tmp_path / 'out').keys() == content(tmp_path / 'whole').keys()
  assert all(p.stat().st_mtime_ns == at for p, at in finished.items())
  # And a finished corpus is left alone.
  before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').iterdir()}
  prepare([inputs], tmp_path / 'out', **settings)
  after = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').iterdir()}
  before.pop(tmp_path / 'out' / '.lock')
  assert before.items() <= after.items()


BAD = [
  (b'{"text": "cut off\n', 'not JSON'),
  (b'{"title": "no text"}\n', "no such field ('text')"),
  (b'["text"]\n', "no such field ('text')"),
  (b'{"text": "\xff"}\n', 'not UTF-8 (byte 11 of the line)'),
  (b'{"text": "\\ud800"}\n', 'lone surrogate'),
  (b'{"text": 3}\n', "not a string ('text' is int)"),
  (b'{"text": null}\n', "not a string ('text' is null)"),
  (b'{"text": " "}\n', 'empty'),
  (b'\n', 'empty (the line is blank)'),
  (b'[' * 100_000 + b'\n', 'not JSON'),
]


def with_bad_lines(path):
  """100 good lines with a bad one before every tenth."""
  good = [json.dumps({'text': text}).encode() + b'\n'
          for text in documents(100)]
  lines, at = [], []
  for i, line in enumerate(good):
    if i % 10 == 0:
      lines.append(BAD[i // 10][0])
      at.append(len(lines))
    lines.append(line)
  path.write_bytes(b''.join(lines))
  return at


@pytest.mark.parametrize('shard_bytes', [10**9, 7_000])
def test_malformed_lines_are_counted_and_named(shard_bytes, tmp_path):
  at = with_bad_lines(tmp_path / 'in.jsonl')
  malformed, made = prepare([tmp_path / 'in.jsonl'], tmp_path / 'out',
                            max_bad=0.1, shard_bytes=shard_bytes)
  assert (malformed.count, malformed.lines) == (10, 110)
  assert len(malformed.first) == 10
  for line, (_, says), said in zip(at, BAD, malformed.first):
    assert said.startswith(f'{tmp_path / "in.jsonl"}:{line}: ')
    assert says in said
  assert sorted(all_texts(made)) == sorted(documents(100))
  report = json.loads((tmp_path / 'out' / shards.REPORT).read_text())
  assert report['lines'] == 110
  assert sum(report['problems'].values()) == 10


def test_too_many_malformed_lines_stop_the_run(tmp_path):
  at = with_bad_lines(tmp_path / 'in.jsonl')
  with pytest.raises(InputError) as stopped:
    prepare([tmp_path / 'in.jsonl'], tmp_path / 'out', max_bad=0.05)
  message = str(stopped.value)
  assert '10 of 110 lines are malformed, more than --max-bad=0.05' in message
  assert f'in.jsonl:{at[0]}: not JSON' in message
  assert (tmp_path / 'out' / shards.REPORT).exists()
  with pytest.raises(InputError, match='not finished'):
    shards.Corpus(tmp_path / 'out')
  # Allowing more goes on with what was done.
  malformed, _ = prepare([tmp_path / 'in.jsonl'], tmp_path / 'out', max_bad=0.1)
  assert malformed.count == 10


def test_a_flood_of_malformed_lines_stops_before_the_end(tmp_path):
  for i in range(3):
    (tmp_path / f'{i}.jsonl').write_bytes(b'{"text": 1}\n' * 12_000)
  with pytest.raises(InputError, match='of 12000 lines are malformed'):
    prepare([tmp_path / f'{i}.jsonl' for i in range(3)], tmp_path / 'out',
            max_bad=0.5, shard_bytes=100_000)


# A document that does not share the split of the other one.
OTHER = next(f'document {i}' for i in range(99)
             if work.is_held_out(f'document {i}'.encode(), 0.5)
             != work.is_held_out('first\ncafé\n'.encode(), 0.5))


def test_lines_that_are_not_utf8_are_dropped_from_a_text(tmp_path):
  lines = [b'first\n', b'caf\xe9\n', 'café\n'.encode(), b'\xff\xfe', b'\n']
  (tmp_path / 'in.txt').write_bytes(b''.join(lines))
  (tmp_path / 'other.txt').write_text(OTHER)
  with pytest.raises(InputError, match=r'in\.txt:2: not UTF-8 \(byte 4'):
    prepare([tmp_path / 'in.txt'], tmp_path / 'stopped', max_bad=0.1)
  malformed, made = prepare([tmp_path / 'in.txt', tmp_path / 'other.txt'],
                            tmp_path / 'out', max_bad=0.5, held_out=0.5)
  assert malformed.count == 2
  assert sorted(all_texts(made)) == sorted([OTHER, 'first\ncafé\n'])


def test_a_line_of_json_may_not_grow_without_bound(tmp_path, monkeypatch):
  from data.prepare import readers
  monkeypatch.setattr(readers, 'JSON_LINE_BYTES', 5000)
  found = documents(20)
  write_jsonl(tmp_path / 'in.jsonl', [*found, 'x' * 20_000, *found])
  malformed, made = prepare([tmp_path / 'in.jsonl'], tmp_path / 'out',
                            max_bad=0.1, held_out=0.3)
  assert malformed.first == [
    f'{tmp_path / "in.jsonl"}:21: too long (over 5000 bytes)']
  assert len(all_texts(made)) == 40


def cut(path):
  path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize('kind', ['jsonl.gz', 'jsonl.zst', 'parquet'])
def test_a_file_that_is_cut_off_is_named(kind, tmp_path):
  path = make(kind, tmp_path, documents())
  cut(path)
  with pytest.raises(InputError, match=rf'in\.{kind} is .*damaged'):
    prepare([path], tmp_path / 'out')


@pytest.mark.parametrize(('change', 'says'), [
  ({'held_out': 0.2}, 'another held_out'),
  ({'tokenizer': 'bpe'}, 'another tokenizer'),
  ({'field': 'title'}, 'another field'),
])
def test_a_folder_is_never_overwritten(change, says, tmp_path):
  path = write_jsonl(tmp_path / 'in.jsonl', documents())
  prepare([path], tmp_path / 'out')
  with pytest.raises(InputError, match=says):
    prepare([path], tmp_path / 'out', **change)
  with pytest.raises(InputError, match='another input'):
    prepare([path, write_jsonl(tmp_path / 'b.jsonl', documents())],
            tmp_path / 'out')
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine' / 'letter.txt').write_text('dear')
  with pytest.raises(InputError, match='is not empty'):
    prepare([path], tmp_path / 'mine')
  assert content(tmp_path / 'mine').keys() <= {'letter.txt', '.lock'}


@pytest.mark.parametrize(('name', 'says'), [
  ('missing.txt', 'No such file'),
  ('empty', 'is a folder without a'),
  ('value.json', 'convert it to JSON lines'),
])
def test_input_that_cannot_be_used_is_named(name, says, tmp_path):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'value.json').write_text('{}')
  with pytest.raises(InputError, match=says):
    prepare([tmp_path / name], tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_a_missing_column_names_those_that_are_there(tmp_path):
  path = write_parquet(tmp_path / 'in.parquet', documents(), field='content')
  with pytest.raises(InputError, match='--field names one of content, n'):
    prepare([path], tmp_path / 'out')
  _, made = prepare([path], tmp_path / 'other', field='content')
  assert len(all_texts(made)) == 60


def test_a_split_that_stays_empty_is_refused(tmp_path):
  path = write_jsonl(tmp_path / 'in.jsonl', documents(3))
  with pytest.raises(InputError, match='of 3 documents none went to val'):
    prepare([path], tmp_path / 'out', held_out=1e-9)


def test_text_that_leaks_whole_is_refused(tmp_path):
  path = write_jsonl(tmp_path / 'in.jsonl', [
    f'The same, but for what follows, in each of the documents, as here: {i}'
    for i in range(100)])
  write_jsonl(tmp_path / 'copies.jsonl', ['Nothing but what is repeated. ' * i
                                          for i in range(3, 100)])
  prepare([path], tmp_path / 'parts', held_out=0.3)
  with pytest.raises(InputError, match='every held-out byte lies in a copy'):
    prepare([tmp_path / 'copies.jsonl'], tmp_path / 'out', held_out=0.3)
  with pytest.raises(InputError, match='not finished'):
    shards.Corpus(tmp_path / 'out')


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_loses_nothing(tmp_path):
  """A limit on the size of a file makes a write fail as a full disk does."""
  # Compressed, so that each file is one part.
  good = [write_jsonl(tmp_path / f'{i}.jsonl.gz', documents(100, seed=i))
          for i in range(3)]
  huge = write_jsonl(tmp_path / '3.jsonl.gz', documents(1500, seed=9))
  flags = ['--shard-bytes=1', '--workers=1', *map(str, [*good, huge])]
  run = [sys.executable, '-m', 'experiments', 'data', 'prepare',
         f'--out={tmp_path / "out"}', *flags]
  limited = ['sh', '-c', 'ulimit -f 800 && exec "$@"', 'sh', *run]  # 512 bytes
  failed = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True)
  assert failed.returncode == 1, failed.stderr
  assert len(failed.stderr.strip().splitlines()) == 1
  assert 'File too large' in failed.stderr
  assert 'what is finished is kept' in failed.stderr
  assert len(list((tmp_path / 'out' / work.RECORDS).iterdir())) == 3
  assert not list((tmp_path / 'out').rglob('*.partial'))
  subprocess.run(run, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
  assert shards.verify(tmp_path / 'out') == []


# Sampled, for two reasons: the largest size that a system keeps begins with
# that of the process that started this one, and it counts pages of mapped
# files, which the system takes back when it likes.
MEASURE = '''
import sys, threading, time
from pathlib import Path
import psutil
from data.prepare import run
from data.prepare.run import Settings
def size():
  info = psutil.Process().memory_info()
  return info.rss - getattr(info, 'shared', 0)
peak, done = 0, threading.Event()
def watch():
  global peak
  while not done.wait(0.01):
    peak = max(peak, size())
small, large, out = sys.argv[1:]
run.prepare([small], Path(out + '1'), Settings(), 1, 0.0)
before = size()
threading.Thread(target=watch).start()
try:
  # What is held out is in memory, so little is.
  one = Settings(held_out=0.005, shard_bytes=1 << 40)
  run.prepare([large], Path(out + '2'), one, 1, 0.0)
finally:
  done.set()
print(peak - before)
'''


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['txt', 'jsonl', 'parquet'])
def test_memory_does_not_grow_with_the_input(kind, tmp_path):
  """One part, with one huge row group, after a small one."""
  # Polars takes 150 MB, of a file twice as large too.
  copies, most = (100, 190e6) if kind == 'parquet' else (50, 90e6)
  small = documents(100)
  # Numbers, since text that stands elsewhere too is not scored.
  large = [text + str(i) for i, text in enumerate(documents(2000) * copies)]
  paths = [tmp_path / f'{name}.{kind}' for name in ('small', 'large')]
  for path, found in zip(paths, (small, large)):
    if kind == 'txt':
      path.write_text('\n\n'.join(found))
    elif kind == 'jsonl':
      write_jsonl(path, found)
    else:
      write_parquet(path, found, row_group_size=10**9)
  assert sum(len(text) for text in large) > most
  grown = subprocess.run(
    [sys.executable, '-c', MEASURE, *map(str, paths), str(tmp_path / 'out')],
    cwd=ROOT, check=True, capture_output=True, text=True).stdout
  assert 1e6 < int(grown) < most, grown


@pytest.mark.slow
def test_interrupting_ends_every_process(tmp_path):
  inputs = several_inputs(tmp_path / 'in')
  process = subprocess.Popen(
    command(inputs, tmp_path / 'out', '--workers=2'), cwd=ROOT,
    start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    text=True)
  while (process.poll() is None
         and not (tmp_path / 'out' / work.RECORDS).exists()):
    time.sleep(0.01)
  with contextlib.suppress(ProcessLookupError):
    os.killpg(process.pid, signal.SIGINT)
  _, said = process.communicate(timeout=900)
  # It may just have ended. CPython ends by the signal itself, which a shell
  # also reports as 130, if the interrupt came inside exec() of an import.
  assert process.returncode in (130, -signal.SIGINT, 0), said
  # Python tells of an interrupt inside a destructor in its own way.
  assert 'Traceback' not in said or 'Exception ignored' in said


def test_a_refused_setting_can_be_mended_in_place(tmp_path):
  path = write_jsonl(tmp_path / 'in.jsonl', documents())
  with pytest.raises(InputError, match='too small'):
    prepare([path], tmp_path / 'out', tokenizer='bpe', vocab_size=99)
  _, made = prepare([path], tmp_path / 'out', tokenizer='bpe', vocab_size=420)
  assert made.tokenizer.vocab_size == 420
