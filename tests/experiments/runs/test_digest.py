"""The digest moves with whatever an instrument leads to, and with nothing else.
"""

import functools
import importlib
import sys

import pytest

from experiments.machine.usage import UsageError
from experiments.runs import digest

FILES = {
  'measure': '''
import near

def measure(subject):
  """Says what it does."""
  return near.step(subject)
''',
  'near': '''
import far as distant

STEPS = 3

def step(subject):
  # One more.
  return [distant.helper(subject) for _ in range(STEPS)]
''',
  'far': '''
import functools
import jax

SCALES = {'a': (1.0, 2.0)}

@functools.partial(jax.jit, static_argnums=0)
def helper(subject):
  from farther import Last
  return Last(subject).value * SCALES['a'][0]

def unrelated(subject):
  return subject
''',
  'farther': '''
class Last:
  def __init__(self, subject):
    self.value = subject
''',
}


@pytest.fixture
def digests(tmp_path, monkeypatch):
  """Writes the files with some text replaced; the digest of `measure`."""
  names = {name: f'{name}_{tmp_path.name}' for name in FILES}
  monkeypatch.syspath_prepend(tmp_path)

  def of(old='', new=''):
    for name, text in FILES.items():
      text = text.replace(old, new) if old else text
      for other, unique in names.items():
        text = text.replace(f'import {other} as', f'import {unique} as')
        text = text.replace(f'import {other}\n',
                            f'import {unique} as {other}\n')
        text = text.replace(f'from {other} import', f'from {unique} import')
      (tmp_path / f'{names[name]}.py').write_text(text)
      sys.modules.pop(names[name], None)
    importlib.invalidate_caches()
    import linecache
    linecache.clearcache()
    sys.dont_write_bytecode = True
    module = importlib.import_module(names['measure'])
    return digest.digest(module.measure)

  yield of
  for name in names.values():
    sys.modules.pop(name, None)
  sys.dont_write_bytecode = False


@pytest.mark.parametrize(('old', 'new'), [
  ('return near.step(subject)', 'return near.step(subject)[1:]'),
  ('STEPS = 3', 'STEPS = 4'),
  ('(1.0, 2.0)', '(1.0, 2.5)'),
  ("SCALES['a'][0]", "SCALES['a'][1]"),
  ('self.value = subject', 'self.value = -subject'),
  ('static_argnums=0', 'static_argnums=(0,)')])
def test_it_sees_a_change_however_far_away(digests, old, new):
  assert digests() != digests(old, new)


@pytest.mark.parametrize(('old', 'new'), [
  ('"""Says what it does."""', '"""Says it otherwise."""'),
  ('# One more.', '# Two more.'),
  ('def measure(subject):', 'def measure(subject: int) -> list:'),
  ('def unrelated(subject):\n  return subject',
   'def unrelated(subject):\n  return 2 * subject')])
def test_it_is_blind_to_words_and_to_what_is_not_used(digests, old, new):
  assert digests() == digests(old, new)


def limited(table, limit):
  return [row for row in table if row < limit]


def test_it_sees_bound_arguments():
  one, two, same = (functools.partial(limited, limit=x) for x in (
    [1, 2], [1, 3], (1, 2)))
  assert digest.digest(one) != digest.digest(two)
  assert digest.digest(one) == digest.digest(same)


def test_what_has_no_text_is_refused():
  with pytest.raises(TypeError, match='cannot be declared'):
    digest.digest({'measure': object()})


def test_a_lambda_inside_an_expression_is_named(digests):
  with pytest.raises(UsageError, match=r'line 6: .* lambda'):
    digests("{'a': (1.0, 2.0)}", "{\n  'a': (lambda: 1.0, 2.0),\n}")
