"""Puts the models that `model/pretrained` is tested on, on the path."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[2] / 'model' / 'pretrained'))
