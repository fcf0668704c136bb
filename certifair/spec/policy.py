"""The policy: what is certified or demanded, and under which names and tolerances. `certifair.toml`, or a table
`[tool.certifair]`. Every threshold is the decimal that was written. Unknown keys are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import final

from certifair.errors import PolicyError
from certifair.spec import metrics
from certifair.spec.groups import MISSING
from certifair.spec.metrics.base import Metric
from certifair.spec.ranges import Range
from certifair.spec.training import SERVED_WITH_LAYER, ModelSpec, TrainingSpec

Values = dict[str, tuple[str, ...]]
SPANS = {"moment": "after", "window": "window"}
"""Forms with a number of people, and the policy's key for it."""


@final
@dataclass(frozen=True)
class DataSpec:
    """`[data]`: the columns of the table. `values` declares every value of each feature and condition.

    `split` is the column that names each row's part, `fractions` the parts to draw instead; `certify` and `train` are
    names of parts. `inputs`: the columns that a model sees; None: all others.
    """

    id: str | None
    label: str | None
    sensitive_features: tuple[str, ...]
    values: Values
    missing: str
    split: str | None
    fractions: tuple[tuple[str, Fraction], ...]
    certify: tuple[str, ...]
    train: tuple[str, ...]
    inputs: tuple[str, ...] | None
    window: tuple[str, str] | None


@final
@dataclass(frozen=True)
class PredictionsSpec:
    """`[predictions]`: which columns of a foreign table hold the score, what was served, and the batch."""

    score: str | None
    prediction: str | None
    batch: str | None


@final
@dataclass(frozen=True)
class SystemSpec:
    """`[system]`: the served system by name, and what its owner declares of its scores."""

    name: str
    version: str
    model: str | None
    preprocessing: str | None
    frozen: bool
    held_out: bool


@final
@dataclass(frozen=True)
class LayerSpec:
    """`[layer]`: the fairness layer that served the predictions, or only the box they must lie in."""

    metric: str | None
    sensitive_features: tuple[str, ...]
    intersectional: bool
    condition: str | None
    epsilon: Fraction | None
    lower: Fraction
    upper: Fraction


@final
@dataclass(frozen=True)
class ServeSpec:
    """`[serve]`: people a batch (0: all at once), the threshold of a decision, whether labels are known then, and the
    algorithm that serves a stream of batches (`paper` with step size `eta0`, or `pooled`), if any.
    """

    batch: int
    threshold: Fraction
    labels_known: bool
    online: str | None = None
    eta0: Fraction | None = None


@final
@dataclass(frozen=True)
class GateSpec:
    """`[gate]`: what a relying party demands of a certificate beside its claims."""

    max_age_days: int | None
    require_registration: bool
    max_excluded_share: Fraction | None


@final
@dataclass(frozen=True)
class Property:
    """`[[property]]`: one demand. `threshold` is epsilon (a difference, a distance, a share) or the least ratio.

    A replay, and a log as such, compare no groups: their `metric` is empty, and so are their features. `span` is a
    number of people, for the forms in SPANS. An individual property has no metric either: its features are inputs of
    the network, and `relaxed` says how far others may move.
    """

    id: str
    kind: str
    form: str
    metric: str
    sensitive_features: tuple[str, ...]
    intersectional: bool
    condition: str | None
    threshold: Fraction
    tau: Fraction
    decision_threshold: Fraction
    confidence: Fraction | None
    method: str
    min_group_size: int
    map: str
    span: int | None = None
    relaxed: tuple[tuple[str, Fraction], ...] = ()

    @property
    def about(self) -> Metric | None:
        """The metric; None where no groups are compared."""
        return metrics.get(self.metric) if self.metric else None

    @property
    def condition_on(self) -> str | None:
        """The column, or the label, whose values split people further."""
        return None if self.about is None else self.about.condition_on(self.condition)


@final
@dataclass(frozen=True)
class Policy:
    """A policy that makes sense by itself: every name it uses is declared in it."""

    data: DataSpec
    predictions: PredictionsSpec
    system: SystemSpec
    layer: LayerSpec | None
    serve: ServeSpec
    gate: GateSpec
    properties: tuple[Property, ...]
    domain: tuple[Range, ...] = ()
    model: ModelSpec | None = None
    training: TrainingSpec | None = None

    @property
    def served_metric(self) -> str | None:
        """The metric of the layer that serves, None where none does.

        Some methods only train with fairness in mind, and a metric that needs labels cannot be enforced on people whose
        outcome nobody knows yet: then the layer of `[layer]` is no part of the served system.
        """
        metric = None if self.layer is None else self.layer.metric
        if metric is None or self.training is None or self.serve.online is not None:
            return metric
        known = self.serve.labels_known or not metrics.get(metric).needs_label
        return metric if known and self.training.method in SERVED_WITH_LAYER else None

    @staticmethod
    def load(path: Path) -> Policy:
        """Raises PolicyError naming file, table and key."""
        try:
            return Policy.parse(path.read_bytes(), str(path))
        except OSError as error:
            raise PolicyError(f"cannot be read ({error.strerror})", where=str(path)) from None

    @staticmethod
    def parse(content: bytes, where: str = "policy") -> Policy:
        """From the bytes of a TOML file; `where` names it in errors."""
        from certifair.spec.policy_file import parse_policy

        return parse_policy(content, where)

    def columns(self) -> tuple[str, ...]:
        """Every categorical column that properties and layer speak of, in order of first use."""
        used = list(self.data.sensitive_features)
        named = [(item.sensitive_features, item.condition) for item in self.properties if item.kind != "individual"]
        if self.layer is not None:
            named.append((self.layer.sensitive_features, self.layer.condition))
        for features, condition in named:
            used += [*features, *([condition] if condition else [])]
        return tuple(dict.fromkeys(used))

    def declared(self, where: str = "policy") -> Values:
        """The declared values of `columns()`, with the group of missing values where the policy makes one."""
        found: Values = {}
        for column in self.columns():
            if column not in self.data.values:
                example = f'{column} = ["…", "…"]'
                advice = f"write under [data.values]: {example}, every value it can take"
                raise PolicyError(f"the values of {column!r} are not declared", where=where, advice=advice)
            found[column] = self.data.values[column] + ((MISSING,) if self.data.missing == "group" else ())
        return found


def projection_property(layer: LayerSpec, name: str = "projection") -> Property:
    """The demand that comes with a layer's multipliers: served is the projection, to 10⁻⁵ box widths a person (RMS)."""
    limit = (layer.upper - layer.lower) / 10**5
    return _about_layer(layer, id=name, kind="feasibility", form="projection", threshold=limit)


def stream_property(layer: LayerSpec, name: str = "stream") -> Property:
    """What the paper's algorithm keeps: the layer's rows, averaged over the batches of a stream."""
    assert layer.epsilon is not None
    found = _about_layer(layer, id=name, kind="aggregate", form="weighted", threshold=layer.epsilon)
    return replace(found, decision_threshold=Fraction(0))


STABILITY = {
    "max_treatment_difference": "treatment",
    "share_differentiable": "differentiable",
    "min_radius": "radius",
    "max_change": "sensitivity",
    "max_lipschitz": "lipschitz",
}
"""Keys of a demand of kind `stability`, and what form of claim answers it."""


def stability_property(layer: LayerSpec | None, form: str, threshold: Fraction, name: str) -> Property:
    """A demand about a layer's derivative and what it does to people alike; of form `lipschitz`, about the network."""
    if form == "lipschitz":
        bare = _about_nobody(id=name, kind="stability", form=form, threshold=threshold)
        return replace(bare, map="scores", method="everywhere")
    assert layer is not None
    return replace(_about_layer(layer, id=name, kind="stability", form=form, threshold=threshold), min_group_size=1)


def treatment_property(layer: LayerSpec, name: str = "treatment") -> Property:
    """The demand that comes with a layer: that its treatment difference is stated. No box is narrower than it."""
    return stability_property(layer, "treatment", layer.upper - layer.lower, name)


def replay_property(epsilon: Fraction = Fraction(1, 10**6), name: str = "replay") -> Property:
    """The demand that comes with a model in the bundle: each score is the network's value, to 10⁻⁶."""
    bare = _about_nobody(id=name, kind="replay", form="network", threshold=epsilon)
    return replace(bare, method="ball", map="scores")


def log_property(form: str, name: str) -> Property:
    """The demands that come with a log: that it is whole (`chain`), and that its dual steps are right (`steps`)."""
    return _about_nobody(id=name, kind="aggregate", form=form, threshold=Fraction(0))


def _about_nobody(*, id: str, kind: str, form: str, threshold: Fraction) -> Property:  # noqa: A002 — the key's name
    """A demand that compares no groups."""
    return Property(
        id=id,
        kind=kind,
        form=form,
        metric="",
        sensitive_features=(),
        intersectional=False,
        condition=None,
        threshold=threshold,
        tau=Fraction(0),
        decision_threshold=Fraction(0),
        confidence=None,
        method="",
        min_group_size=1,
        map="served",
    )


def _about_layer(layer: LayerSpec, *, id: str, kind: str, form: str, threshold: Fraction) -> Property:  # noqa: A002
    """A demand about the rows of a layer."""
    assert layer.metric is not None
    return replace(
        _about_nobody(id=id, kind=kind, form=form, threshold=threshold),
        metric=layer.metric,
        sensitive_features=layer.sensitive_features,
        intersectional=layer.intersectional,
        condition=layer.condition,
        decision_threshold=Fraction(1, 2),
    )
