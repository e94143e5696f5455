import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.commands import doctor, main
from experiments.machine.checks import Finding
from experiments.machine.survey import Environment

ROOT = Path(__file__).parents[3]


def failure(device):
  return Finding('a check', 'FAIL', 'what is there', 'what to do', device)


def test_a_missing_device_decides_the_exit_code():
  fine = doctor.examine(Environment())
  warning = Finding('a check', 'WARN', 'what is there', 'what to do')
  assert doctor.exit_code([*fine, warning]) == 0
  assert doctor.exit_code([*fine, failure(device=False)]) == 1
  assert doctor.exit_code([failure(device=False), failure(device=True)]) == 3


def test_this_machine(tmp_path, capsys):
  runs = tmp_path / 'new' / 'runs'
  with pytest.raises(SystemExit) as ending:
    main.main(['doctor', '--json', '--seconds=600', f'--runs={runs}'])
  report = json.loads(capsys.readouterr().out)
  assert ending.value.code == report['exit_code']
  assert report['devices'] == [{'platform': 'cpu', 'kind': 'cpu'}] * 8
  assert {'jax', 'jaxlib', 'flax', 'optax'} <= set(report['packages'])
  findings = {f['check']: f for f in report['findings']}
  assert findings['devices']['level'] == 'PASS'
  assert findings['virtual devices']['level'] == 'PASS'  # see conftest.py
  assert not runs.parent.exists()


def test_the_doctor_does_without_jax():
  process = subprocess.run(
    [sys.executable, '-c', 'import sys; import experiments.commands.doctor; '
     'sys.exit("jax" in sys.modules)'], cwd=ROOT, check=False)
  assert process.returncode == 0
