"""What a run's bundle says: claims as `certify` would sign them, and measurements; as figures of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from certifair.certificate.derive import all_terms, derive
from certifair.checks._individual.check import check_witness
from certifair.compare.base import Made
from certifair.compare.table import Figure
from certifair.evidence.bundle import PATHS, Evidence, load, read_contents
from certifair.evidence.onnx_reader import read_network
from certifair.evidence.proofs import Proof, add_proofs
from certifair.exact.decimals import format_decimal
from certifair.individual import prepare
from certifair.individual.properties import Search, prove_properties
from certifair.spec import Json, metrics
from certifair.stability.properties import propose_properties

Floats = NDArray[np.float64]
STEEP_SECONDS: Final = 3.0
"""For the Lipschitz bound, at most."""
NO_POOL: Final = "of this metric only batches are claimed"
NO_RATIO: Final = "an interval is only known for gaps of decisions"
COUPLED_PEOPLE: Final = (
    "what is served depends on others in the batch, or on a lottery: an interval needs independent people"
)
ALIKE: Final = "everybody is decided alike"
NO_NETWORK: Final = "there is no network: these are somebody's predictions"
COUPLED: Final = "of the network's own decisions: a layer couples the people of a batch"


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """The claims that `certify` would sign, a figure for each property, and what to know before comparing them."""

    claims: list[Json]
    figures: tuple[Figure, ...]
    caution: str


def measure(root: Path, made: Made, *, per_person: bool, seconds: float) -> Measured:
    """Look for proofs for so many seconds, put them into the bundle, derive its claims. Raises InputError."""
    proofs = _proofs(load(read_contents(root), str(root)), root, seconds)
    if proofs:
        add_proofs(root, proofs)
    evidence = load(read_contents(root), str(root))
    claims = derive(evidence)["claims"]
    found = _Figures(evidence, {claim["id"]: claim for claim in claims}, per_person)
    timed = [Figure("train_seconds", made.train), Figure("serve_seconds", made.serve)]
    caution = "; ".join(filter(None, [made.caution, ALIKE if found.alike else ""]))
    return Measured(claims, (*found.all(), *timed), caution)


def _proofs(evidence: Evidence, root: Path, seconds: float) -> dict[str, Proof]:
    found: dict[str, Proof] = {}
    if evidence.model is None:
        return found
    prepare()  # loading what is compiled is no search
    search = Search(seconds=seconds, processes=1)
    for item, proof in prove_properties(evidence, f"{root}/policy.toml", search, check_witness):
        if proof is not None:
            found[item.id] = proof.witness
    steep = [terms for terms in all_terms(evidence) if terms.form == "lipschitz"]
    network = read_network(evidence.model, PATHS["model"])
    for terms, proposal in propose_properties(network, steep, min(seconds, STEEP_SECONDS)):
        if proposal.witness is not None:
            found[terms.id] = proposal.witness
    return found


@final
@dataclass(frozen=True, eq=False)
class _Figures:
    evidence: Evidence
    claims: dict[str, Json]
    per_person: bool

    @property
    def ratio(self) -> bool:
        """Whether the metric compares shares of people."""
        return metrics.get(self.evidence.policy.properties[0].metric).has_ratio

    def all(self) -> Iterator[Figure]:
        """In the order of PROPERTIES, without the times."""
        yield from self._quality()
        yield self._claimed("batch_gap", "batch")
        yield self._claimed("pooled_gap", "pooled", NO_POOL)
        yield self._decisions()
        yield self._claimed("population_gap", "population", COUPLED_PEOPLE if self.ratio else NO_RATIO)
        yield self._treatment()
        note = "" if self.per_person else COUPLED
        yield _turned(self._claimed("flip_rows", "flip_rows", NO_NETWORK), note)
        yield _turned(self._claimed("flip_domain", "flip_domain", NO_NETWORK), note)
        yield self._claimed("lipschitz", "lipschitz", NO_NETWORK)

    @property
    def alike(self) -> bool:
        """Whether all decisions are the same."""
        decisions = self.evidence.predictions > float(self.evidence.policy.serve.threshold)
        return bool(decisions.all() or not decisions.any())

    def _quality(self) -> Iterator[Figure]:
        labels, served = self.evidence.labels, self.evidence.predictions
        assert labels is not None
        threshold = float(self.evidence.policy.serve.threshold)
        yield Figure("accuracy", float(((served > threshold) == (labels > 0)).mean()))
        area = auc(served, labels)
        yield Figure("auc", area, reason="" if area is not None else "all labels are the same")

    def _claimed(self, name: str, claim: str, absent: str = "") -> Figure:
        found = self.claims.get(claim)
        if found is None:
            return Figure(name, None, verdict="", reason=absent)
        estimate = found["estimate"]
        value = None if estimate is None else float(Fraction(estimate))
        reason = found["reason"] if value is None or found["verdict"] == "UNDECIDED" else ""
        return Figure(name, value, found["lower"], found["upper"], found["verdict"], reason, claim)

    def _decisions(self) -> Figure:
        """The gap of decisions stands beside that of predictions, in the same claim."""
        found = self.claims.get("pooled", self.claims["batch"])
        gap = found["decisionGap"]
        if gap is None:
            return Figure("decision_gap", None, verdict="", reason=found["reason"], claim=found["id"])
        reason = "" if found["id"] == "pooled" else "the worst of all batches"
        return Figure("decision_gap", float(Fraction(gap)), None, gap, found["verdict"], reason, found["id"])

    def _treatment(self) -> Figure:
        """The layer's claim; without a layer what the evidence shows: 0 where everybody is served her score."""
        if "treatment" in self.claims:
            return self._claimed("treatment", "treatment")
        scores, served = self.evidence.scores, self.evidence.predictions
        if scores is None:
            return Figure("treatment", None, verdict="", reason="there are no scores to compare people by")
        if np.array_equal(np.clip(scores, 0, 1), served):
            return Figure("treatment", 0.0, "0", "0", reason="everybody is served her own score")
        least = max(self._shown(self.evidence.batch == number) for number in np.unique(self.evidence.batch))
        end = format_decimal(Fraction(repr(least)))
        return Figure("treatment", least, end, None, reason="at least this, between two people of one batch")

    def _shown(self, batch: NDArray[np.bool_]) -> float:
        scores, served = self.evidence.scores, self.evidence.predictions
        assert scores is not None
        return shown(scores[batch], served[batch], [codes[batch] for codes in self.evidence.codes.values()])


def _turned(figure: Figure, note: str) -> Figure:
    """The unfair share: what is not certified at most, what is falsified at least; shown is what is proven unfair."""
    if figure.lower is None or figure.upper is None:
        return figure
    lower, upper = 1 - Fraction(figure.upper), 1 - Fraction(figure.lower)
    reason = "; ".join(filter(None, [figure.reason, note]))
    ends = (format_decimal(lower), format_decimal(upper))
    return Figure(figure.property, float(lower), *ends, figure.verdict, reason, figure.claim)


def auc(scores: Floats, labels: Floats) -> float | None:
    """The chance that one labelled 1 is ranked above one labelled 0, ties counting half; None without both labels."""
    from scipy.stats import rankdata

    positive = labels > 0
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return None
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def shown(scores: Floats, served: Floats, features: Sequence[NDArray[Any]]) -> float:
    """The most that anybody is served above somebody of another group whose score is no lower; (n,) each."""
    groups = np.unique(np.stack(features), axis=1, return_inverse=True)[1].reshape(-1)
    order = np.argsort(-scores, kind="stable")
    most = 0.0
    for group in np.unique(groups):
        others = np.where(groups[order] != group, served[order], np.inf)
        least = np.minimum.accumulate(others)  # among those with a score at least as high
        last = np.searchsorted(-scores[order], -scores, side="right") - 1  # ties count
        mine = groups == group
        with np.errstate(invalid="ignore"):
            most = max(most, float(np.max(np.where(mine & np.isfinite(least[last]), served - least[last], 0.0))))
    return most
