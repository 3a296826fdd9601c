"""scikit-learn's own checks of estimators."""

from __future__ import annotations

import warnings

import pytest
from sklearn.utils.estimator_checks import check_estimator

from recurra.glm import GLM, PopulationGLM

# Targets of the checks are positive but no counts, so the Poisson model refuses them; everything else must pass.
NOT_COUNTS = "whole numbers of zero or above"


@pytest.mark.parametrize("model", [PopulationGLM("Gaussian"), GLM("Gaussian", regularizer="Ridge"), GLM()], ids=repr)
def test_nothing_to_complain_of(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(model, on_fail=None, on_skip=None)
    failed = [f for f in found if f["status"] == "failed"]
    if model.observation_model == "Poisson":
        failed = [f for f in failed if NOT_COUNTS not in str(f["exception"])]
    assert [f["check_name"] for f in failed] == []
    assert len(found) > 40
