"""Who may import whom: the arrows of WORKSPACE.md, read from the source."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# Which rooms a room may import, beside itself.
HOUSE = {
  'model': set(), 'data': set(), 'train': {'model', 'data'},
  'experiments': {'model', 'data', 'train'},
}
# The rooms of experiments/, top to bottom: each may import those below it.
FLOORS = ('commands', 'bench', 'claims', 'report', 'judge', 'instruments',
          'launch', 'runs', 'sweeps', 'exchange', 'foresight', 'machine')


def modules():
  """{module: path} of all of ours."""
  found = {}
  for room in HOUSE:
    for path in (ROOT / room).rglob('*.py'):
      parts = path.relative_to(ROOT).with_suffix('').parts
      name = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
      found[name] = path
  return found


def imports(tree, known, whole):
  """The modules of ours that a piece of source imports.

  Args:
    tree: the source.
    known: the names of all modules.
    whole: whether imports inside functions count; those for annotations alone
      never do.
  """
  found = set()
  pending = list(ast.iter_child_nodes(tree))
  while pending:
    node = pending.pop()
    if isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.unparse(node.test):
      continue
    if isinstance(node, ast.FunctionDef) and not whole:
      continue
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, 'no relative imports'
      found |= {f'{node.module}.{a.name}' if f'{node.module}.{a.name}' in known
                else node.module for a in node.names}
    pending += ast.iter_child_nodes(node)
  return {name for name in found if name in known}


def refused(name, target):
  """Why a module may not import another; '' where it may."""
  room, other = name.split('.')[0], target.split('.')[0]
  if room != other:
    return '' if other in HOUSE[room] else f'{room} imports {other}'
  if room != 'experiments' or name.count('.') == 0 or target.count('.') == 0:
    return ''
  floor, below = name.split('.')[1], target.split('.')[1]
  if floor == '__main__' or floor == below:
    return ''
  return '' if FLOORS.index(floor) < FLOORS.index(below) else (
    f'{floor} imports {below}')


def test_imports_follow_the_arrows():
  known = modules()
  wrong = []
  for name, path in known.items():
    tree = ast.parse(path.read_text())
    wrong += [f'{path.relative_to(ROOT)}: {reason}' for target in
              imports(tree, known, whole=True)
              if (reason := refused(name, target))]
  assert not wrong, '\n'.join(sorted(wrong))


def test_every_folder_of_experiments_is_a_room_that_has_its_place():
  rooms = {p.name for p in (ROOT / 'experiments').iterdir()
           if (p / '__init__.py').exists()}
  assert rooms == set(FLOORS)


def cycle(graph):
  """A cycle of a graph {node: nodes}, or None."""
  state = {}

  def visit(node, path):
    state[node] = 'open'
    for other in graph[node]:
      if state.get(other) == 'open':
        return [*path[path.index(other):], other] if other in path else None
      if other not in state and (found := visit(other, [*path, other])):
        return found
    state[node] = 'shut'
    return None

  for node in graph:
    if node not in state and (found := visit(node, [node])):
      return found
  return None


def test_no_module_imports_itself_in_a_circle():
  known = modules()
  # A package's own __init__ may list what is below it.
  graph = {name: imports(ast.parse(path.read_text()), known, whole=False)
           - {name} for name, path in known.items()}
  found = cycle(graph)
  assert found is None, ' → '.join(found)


@pytest.mark.parametrize(('name', 'target', 'allowed'), [
  ('train.loop', 'data.batch', True), ('data.batch', 'train.loop', False),
  ('model.block', 'data.batch', False),
  ('train.loop', 'experiments.runs.store', False),
  ('experiments.judge.table', 'experiments.runs.store', True),
  ('experiments.runs.store', 'experiments.judge.table', False)])
def test_the_rule_can_refuse(name, target, allowed):
  assert (refused(name, target) == '') == allowed


def test_a_circle_is_found():
  assert cycle({'a': {'b'}, 'b': {'c'}, 'c': {'b'}}) == ['b', 'c', 'b']
  assert cycle({'a': {'b'}, 'b': set()}) is None
  tree = ast.parse('def f():\n  import model\nif TYPE_CHECKING:\n  import data')
  assert imports(tree, {'model', 'data'}, whole=True) == {'model'}
  assert imports(tree, {'model', 'data'}, whole=False) == set()
