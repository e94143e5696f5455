"""The geometry of a table of vectors: what lies near what, how densely.

Tables are (V, D), a vector for each token; V counts any points. NumPy on the
host: tables are small. Every number means something only beside the same
number of an untrained table, since 128 random points in 32 dimensions have
neighbours, clusters and a dimension too.
"""

import numpy as np
from scipy import spatial, stats

NEIGHBOURS = 5  # of a point, over which its density is taken


def cosine(table_VD: np.ndarray) -> np.ndarray:
  """Cosines of all pairs of vectors, (V, V); 0 with a vector of length 0."""
  length_V = np.linalg.norm(table_VD, axis=1, keepdims=True)
  unit_VD = table_VD / np.where(length_V > 0, length_V, 1)
  return unit_VD @ unit_VD.T


def distance(table_VD: np.ndarray) -> np.ndarray:
  """Euclidean distances of all pairs of vectors, (V, V)."""
  return spatial.distance.squareform(spatial.distance.pdist(table_VD))


def centred(table_VD: np.ndarray) -> np.ndarray:
  """The table without its mean, which all cosines would share."""
  return table_VD - table_VD.mean(axis=0)


def all_but_top(table_VD: np.ndarray, top: int) -> np.ndarray:
  """The centred table without its first principal directions.

  They often tell frequency (Mu and Viswanath, 2018, who take D / 100).
  """
  table_VD = centred(table_VD)
  _, _, direction_DD = np.linalg.svd(table_VD, full_matrices=False)
  removed_DD = direction_DD[:top]
  return table_VD - table_VD @ removed_DD.T @ removed_DD


def whitened(table_VD: np.ndarray) -> np.ndarray:
  """The centred table with equal variance in all its principal directions."""
  left_VD, size_D, _ = np.linalg.svd(centred(table_VD), full_matrices=False)
  return left_VD[:, size_D > size_D[0] * 1e-6]


def positive_information(transition_VV: np.ndarray,
                         frequency_V: np.ndarray) -> np.ndarray:
  """How much oftener a token is followed by another than chance has it.

  Positive pointwise mutual information, max(0, log P(j | i) / P(j)): rows are
  what a token is like at second order (Levy and Goldberg, 2014).

  Args:
    transition_VV: P(next | last), above 0.
    frequency_V: P(next).
  """
  return np.maximum(np.log(transition_VV / frequency_V), 0)


def pair_correlation(one_VV: np.ndarray, other_VV: np.ndarray) -> float:
  """Spearman's rank correlation over unordered pairs of different points."""
  pairs = np.triu_indices(len(one_VV), k=1)
  return float(stats.spearmanr(one_VV[pairs], other_VV[pairs]).statistic)


def area(score: np.ndarray, positive: np.ndarray) -> float:
  """How often one that is positive scores higher than one that is not.

  The area under the receiver's operating characteristic, ties counted half.

  Args:
    score: any shape.
    positive: bool, the same shape; some true, some false.
  """
  return float(areas(np.ravel(score), np.ravel(positive)[None])[0])


def areas(score_N: np.ndarray, positive_RN: np.ndarray) -> np.ndarray:
  """The same for several sets of positives, (R,), by sums of ranks."""
  yes_R = positive_RN.sum(axis=1)
  no_R = len(score_N) - yes_R
  wins_R = positive_RN @ stats.rankdata(score_N) - yes_R * (yes_R + 1) / 2
  areas_R: np.ndarray = wins_R / (yes_R * no_R)
  return areas_R


def neighbour_distance(distance_VV: np.ndarray,
                       count: int = NEIGHBOURS) -> np.ndarray:
  """Mean distance of each point to its nearest others, (V,): small is dense."""
  others_VV = np.sort(distance_VV, axis=1)[:, 1:]  # the first is the point
  return others_VV[:, :count].mean(axis=1)


def rank_residuals(value_V: np.ndarray, *given_V: np.ndarray) -> np.ndarray:
  """What of a value's ranks the ranks of others do not tell, (V,).

  The residuals of two values have the partial rank correlation of the two
  given the others (Kendall, 1942, for ranks in the place of values).
  """
  rank_V, *other_V = (
    stats.rankdata(x) - (len(x) + 1) / 2 for x in (value_V, *given_V))
  other_VG = np.stack(other_V, axis=1)
  residual_V: np.ndarray = rank_V - other_VG @ np.linalg.lstsq(
    other_VG, rank_V)[0]
  return residual_V


def partial_correlation(one_V: np.ndarray, other_V: np.ndarray,
                        *given_V: np.ndarray) -> float:
  """Rank correlation of two values, what others tell of both removed."""
  return float(stats.pearsonr(rank_residuals(one_V, *given_V),
                              rank_residuals(other_V, *given_V)).statistic)


def participation_ratio(table_VD: np.ndarray) -> float:
  """How many directions share the variance: 1 to D.

  (sum of variances)^2 / sum of their squares, over principal directions.
  """
  variance_D = np.linalg.svd(centred(table_VD), compute_uv=False)**2
  return float(variance_D.sum()**2 / (variance_D**2).sum())


def two_nearest_dimension(distance_VV: np.ndarray) -> float:
  """The dimension of the set that the points fill (Facco et al., 2017, TwoNN).

  The distances to a point's second and first neighbour have the ratio mu with
  density d mu^(-d - 1); this is the likeliest d. It is low in high dimensions,
  where points are too few.

  Args:
    distance_VV: of different points.
  """
  nearest_VV = np.sort(distance_VV, axis=1)
  ratio_V = nearest_VV[:, 2] / nearest_VV[:, 1]
  return float(len(ratio_V) / np.log(ratio_V).sum())


def determination(truth: np.ndarray, predicted: np.ndarray,
                  weight: np.ndarray | float = 1.0) -> float:
  """R^2 of a prediction as it stands: 1 - residual over total squares.

  Nothing is fitted, so a scale or an offset that is wrong counts. `weight`
  says how much each number counts.
  """
  weight = np.broadcast_to(weight, truth.shape)
  mean = np.average(truth, weights=weight)
  residual = (weight * np.square(truth - predicted)).sum()
  return float(1 - residual / (weight * np.square(truth - mean)).sum())
