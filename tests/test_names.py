"""Arrays are called after the letters of their einsum, in every room."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ('model', 'data', 'train', 'experiments', 'tests')
EQUATION = re.compile(r'[A-Za-z]+(,[A-Za-z]+)*->[A-Za-z]*')
SUFFIX = re.compile(r'.*_([A-Z][A-Za-z]*)')


def fits(name: str, letters: str) -> bool:
  """Whether a name's dimensions are the letters that an einsum gives it.

  A small letter is local to its einsum: a dimension that the alphabet does not
  have, or one that occurs twice.
  """
  suffix = SUFFIX.fullmatch(name)
  return not suffix or (
    len(suffix[1]) == len(letters)
    and all(own == letter or letter.islower()
            for own, letter in zip(suffix[1], letters)))


def mismatches(source: str) -> list[str]:
  """Names in calls like `y_TF = f('TD,DF->TF', x_TD, w_DF)` that do not fit."""
  named = []  # (name, letters)
  for node in ast.walk(ast.parse(source)):
    match node:
      case ast.Call(args=[ast.Constant(str(equation)), *operands]) if (
          EQUATION.fullmatch(equation)):
        named += zip(operands, equation.split('->')[0].split(','))
      case (ast.Assign(targets=[result], value=value)
            | ast.AugAssign(target=result, value=value)):
        match value:
          case ast.Call(args=[ast.Constant(str(equation)), *_]) if (
              EQUATION.fullmatch(equation)):
            named.append((result, equation.split('->')[1]))
  return [f'line {node.lineno}: {node.id} is {letters} in its einsum'
          for node, letters in named
          if isinstance(node, ast.Name) and not fits(node.id, letters)]


def test_arrays_are_called_after_the_letters_of_their_einsum():
  texts = {path.relative_to(ROOT): path.read_text()
           for room in ROOMS for path in (ROOT / room).rglob('*.py')}
  assert sum('einsum(' in text for text in texts.values()) > 5
  assert [f'{path}, {problem}' for path, text in texts.items()
          for problem in mismatches(text)] == []


@pytest.mark.parametrize(('line', 'names'), [
  ("y_BTF = jnp.einsum('BTD,DF->BTF', x_BTD, w_DF)", []),
  ("y_BTF = jnp.einsum('BTD,DF->BTF', x_BTF, w_DF)", ['x_BTF']),
  ("y_BT = jnp.einsum('BTD,DF->BTF', x_BTD, w_DF)", ['y_BT']),
  ("y_BF += product('BTD,DF->BTF', x, w_FD)", ['w_FD', 'y_BF']),
  ("y_BTV = np.einsum('Tpl,BTp->BTl', w_TVV, x_BTV)", []),
  ("score = jnp.einsum('BGhTK,BGSK->BGhTS', q_BGhTK, k.T)", []),
  ("jnp.einsum('BGhTK,BGSK->BGhTS', q_BHTK, k_BGSK)", ['q_BHTK']),
])
def test_names_that_do_not_fit_are_found(line, names):
  assert sorted(m.split()[2] for m in mismatches(line)) == sorted(names)
