"""However an instrument comes by what it uses, a change of it is seen."""

import importlib
import json
import linecache
import sys

import pytest

from experiments.runs import digest

HELPER = '''
K = 7
def f(s):
  return s + K
class C:
  A = 7
  def m(self, s):
    return 7
'''
WRAPPER = '''
import functools
def deco(k):
  def wrap(f):
    @functools.wraps(f)
    def g(s):
      return f(s) * k
    return g
  return wrap
'''
# {how: the instrument's module}; the seven is what is changed.
WAYS = {
  'import within': 'def measure(s):\n  import HELP\n  return HELP.f(s)',
  'import as within': 'def measure(s):\n  import HELP as h\n  return h.f(s)',
  'from within': 'def measure(s):\n  from HELP import f\n  return f(s)',
  'constant of another': 'from HELP import K\ndef measure(s):\n  return K',
  'class attribute': 'from HELP import C\ndef measure(s):\n  return C.A',
  'method of a value': 'import HELP\nc = HELP.C()\n'
                       'def measure(s):\n  return c.m(s)',
  'bound method': 'import HELP\nmeasure = HELP.C().m',
  'another method': 'class C:\n  def k(self):\n    return 7\n'
                    '  def m(self, s):\n    return self.k()\nmeasure = C().m',
  'what an object holds': 'class C:\n  def __init__(self, k):\n    self.k = k\n'
                          '  def m(self, s):\n    return self.k\n'
                          'measure = C(7).m',
  'class method': 'class C:\n  K = 7\n  @classmethod\n  def m(cls, s):\n'
                  '    return cls.K\nmeasure = C.m',
  'method of a dataclass': 'import dataclasses\n@dataclasses.dataclass\n'
                           'class P:\n  a: int\n  def m(self):\n    return 7\n'
                           'X = P(1)\ndef measure(s):\n  return X.m()',
  'second lambda': 'f = lambda s: s\ng = lambda s: 7\n'
                   'def measure(s):\n  return g(s) + f(s)',
  'first lambda': 'f = lambda s: s\ng = lambda s: 7\n'
                  'def measure(s):\n  return f(s) + g(s)',
  'list of lambdas': 'T = [lambda s: 1, lambda s: 7]\n'
                     'def measure(s):\n  return T[1](s)',
  'closure': 'def make(k):\n  def inner(s):\n    return s * k\n  return inner\n'
             'a, b = make(1), make(7)\ndef measure(s):\n  return a(s) + b(s)',
  'other closure': 'def make(k):\n  def inner(s):\n    return s * k\n'
                   '  return inner\na, b = make(1), make(7)\n'
                   'def measure(s):\n  return b(s) + a(s)',
  'table that leads back': 'def a(s):\n  return T["b"](s) if s else 7\n'
                           'def b(s):\n  return T["a"](s)\n'
                           'T = {"a": a, "b": b}\n'
                           'def measure(s):\n  return T["a"](s)',
  'table with a foreign function': 'import math\ndef a(s):\n  return 7\n'
                                   'T = {"a": a, "b": math.sin}\n'
                                   'def measure(s):\n  return T["a"](s)',
  'argument of vmap': 'import jax\ndef f(s, n):\n  return s\n'
                      'g = jax.vmap(f, in_axes=(0, 7))\n'
                      'def measure(s):\n  return g(s, 1)',
  'decorator': WRAPPER + '@deco(7)\ndef measure(s):\n  return s',
  'wrapper': WRAPPER + 'def bare(s):\n  return s\nmeasure = deco(7)(bare)',
  'array': 'import jax.numpy as jnp\nK = jnp.array([7])\n'
           'def measure(s):\n  return s + K',
  'bytes': 'K = b"7"\ndef measure(s):\n  return s + K',
  'member of an enum': 'import enum\nclass E(enum.Enum):\n  A = 7\nX = E.A\n'
                       'def measure(s):\n  return X',
  'made class': 'import collections\n'
                'P = collections.namedtuple("P", "a b7")\n'
                'def measure(s):\n  return P(1, 2)',
  'default': 'K = 7\ndef measure(s, k=K):\n  return k',
}


@pytest.fixture
def digests(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(sys, 'dont_write_bytecode', True)
  helper, mine = f'help_{tmp_path.name}', f'mine_{tmp_path.name}'

  def of(text, seven='7'):
    for name, content in ((helper, HELPER), (mine, text)):
      (tmp_path / f'{name}.py').write_text(
        content.replace('HELP', helper).replace('7', seven) + '\n')
      sys.modules.pop(name, None)
    importlib.invalidate_caches()
    linecache.clearcache()
    return digest.digest(importlib.import_module(mine).measure)

  # A digit in the names of the modules would be replaced as well.
  helper, mine = (name.replace('7', 'seven') for name in (helper, mine))
  yield of
  for name in (helper, mine):
    sys.modules.pop(name, None)


@pytest.mark.parametrize('way', WAYS)
def test_a_change_is_seen_however_it_is_reached(way, digests):
  text = WAYS[way]
  before = digests(text)
  assert digests(text) == before
  assert digests(text, '8') != before


def test_a_relative_import_within_is_followed(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(sys, 'dont_write_bytecode', True)
  package = tmp_path / 'own_package'
  package.mkdir()
  (package / '__init__.py').write_text('')
  (package / 'own.py').write_text(
    'def measure(s):\n  from .near import f\n  return f(s)\n')
  found = []
  for value in '78':
    (package / 'near.py').write_text(f'def f(s):\n  return {value}\n')
    for name in ('', '.own', '.near'):
      sys.modules.pop('own_package' + name, None)
    importlib.invalidate_caches()
    linecache.clearcache()
    found.append(digest.digest(
      importlib.import_module('own_package.own').measure))
  assert found[0] != found[1]


def test_a_helper_in_the_folder_above_is_followed(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.syspath_prepend(tmp_path / 'below')
  monkeypatch.setattr(sys, 'dont_write_bytecode', True)
  (tmp_path / 'below').mkdir()
  (tmp_path / 'below' / 'measure_below.py').write_text(
    'import helper_above\ndef measure(s):\n  return helper_above.f(s)\n')
  found = []
  for value in '78':
    (tmp_path / 'helper_above.py').write_text(f'def f(s):\n  return {value}\n')
    for name in ('helper_above', 'measure_below'):
      sys.modules.pop(name, None)
    importlib.invalidate_caches()
    linecache.clearcache()
    found.append(digest.digest(
      importlib.import_module('measure_below').measure))
  assert found[0] != found[1]


def test_no_address_is_in_it():
  """It would be another in the next process, and nothing ever measured."""
  def key():
    return 1

  class Thing:
    pass

  table = {key: 7, Thing: 8}
  objects = {Thing(): 7}

  def measure(subject):
    return table[key]

  def other(subject):
    return objects

  assert ' at 0x' not in json.dumps(digest.source(measure))
  with pytest.raises(TypeError, match='cannot be declared'):
    digest.source(other)


def test_what_is_installed_and_what_is_measured_is_left_out():
  import numpy as np

  from model import ModelConfig

  def measure(subject):
    return np.mean(subject), ModelConfig()

  texts = digest.source(measure)
  assert not [name for name in texts if name.startswith(('numpy', 'model.'))]
