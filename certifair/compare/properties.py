"""The columns of a comparison, and how each is to be read. All figures are about the test part, as it was served."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from certifair.compare.table import Property

CLAIMED: Final = Fraction(95, 100)
"""The confidence of a claim about everybody where a policy names none, as none of a comparison's does."""

PROPERTIES: Final = (
    Property(
        "accuracy",
        "accuracy",
        "higher",
        "measured",
        "The share of the test part whose decision, the prediction above the threshold, is what the label says.",
    ),
    Property(
        "auc",
        "AUC",
        "higher",
        "measured",
        "The chance that of two people of the test part, labelled 1 and 0, the one labelled 1 has the higher "
        "prediction, ties counting half. Methods that serve decisions have ties only.",
    ),
    Property(
        "batch_gap",
        "batch gap",
        "lower",
        "proven",
        "The largest gap between groups in any batch of the test part, in the data set's metric, of predictions as "
        "served: the worst over all batches, and over all groups with anybody in the batch, however few. Labels are "
        "taken from the test part where the metric needs them.",
    ),
    Property(
        "pooled_gap",
        "pooled gap",
        "lower",
        "proven",
        "The largest gap between groups over the whole test part at once, of predictions as served; groups of fewer "
        "than 10 do not count.",
    ),
    Property(
        "decision_gap",
        "gap of decisions",
        "lower",
        "proven",
        "The pooled gap with decisions, 0 or 1, in place of predictions; where there is no pooled gap, the batch gap "
        "with decisions.",
    ),
    Property(
        "population_gap",
        "gap among everybody",
        "lower",
        "confidence",
        "An interval for the gap of decisions among everybody whom the test people stand for, if these were drawn "
        "independently; groups of fewer than 10 do not count. Only where people are served one by one: else they are "
        "not independent. Each run's interval has its confidence by itself, not all of a table together.",
        ends=True,
    ),
    Property(
        "treatment",
        "treatment difference",
        "lower",
        "proven",
        "The most that anybody is served above somebody of another group in the same batch whose score is no lower: "
        "with our layer whatever the score, as claimed; else between two people of the test part, as measured, and "
        "others may differ more.",
        ends=True,
    ),
    Property(
        "flip_rows",
        "unfair rows",
        "lower",
        "proven",
        "The share of the test part whose decision changes with the sensitive inputs alone, or with what the data set "
        "lets move beside them: at least what is proven unfair, at most what is not proven fair. It is about the "
        "network, before any layer.",
        ends=True,
    ),
    Property(
        "flip_domain",
        "unfair share of all inputs",
        "lower",
        "proven",
        "The same among all inputs that the domain allows, each as likely as any other, whether such people exist or "
        "not: at least what is proven unfair, at most what is not proven fair.",
        ends=True,
    ),
    Property(
        "lipschitz",
        "Lipschitz bound",
        "lower",
        "proven",
        "The network's score moves at most so many times as far as its inputs do, anywhere in the domain, each input "
        "in units of its range, Euclidean. A bound, which may be above the truth, and about the network, before any "
        "layer.",
        digits=2,
    ),
    Property(
        "train_seconds",
        "training",
        "lower",
        "measured",
        "Seconds that the method itself took to fit, its own network included; not the network that it started from, "
        "nor the proofs.",
        digits=1,
        unit="s",
    ),
    Property(
        "serve_seconds",
        "serving",
        "lower",
        "measured",
        "Seconds to make the predictions of the whole test part, without reading and writing.",
        digits=2,
        unit="s",
    ),
)
