"""How an effect is estimated and tested: one small class for each way.

One more is a module here with a subclass of `Analysis`, and a name in
`ANALYSES`; the tests of every analysis then run on it.
"""

from experiments.judge.analyses.analysis import Analysis
from experiments.judge.analyses.breaks import Break
from experiments.judge.analyses.correlation import RankCorrelation
from experiments.judge.analyses.mean import Mean
from experiments.judge.analyses.solving import TimeToSolve
from experiments.judge.analyses.trend import Trend

ANALYSES: dict[str, type[Analysis]] = {
  'mean': Mean, 'trend': Trend, 'time to solve': TimeToSolve,
  'rank correlation': RankCorrelation, 'break': Break}
