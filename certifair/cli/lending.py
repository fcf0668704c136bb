"""The embedded lending set: 4 000 made-up loan applications, and a small linear score that somebody froze.

Everything is drawn from one seed with the standard library, so it is the same table on every machine. The disparity is
real in the sense that it has a cause and reaches the outcome: women in this table earn less and have shorter careers
(the drawn gap is about a quarter of the income), both raise the score, and neither is what repayment mainly depends on.
The score was fitted once to an earlier draw and is stored below; nobody trained on these rows.
"""

from __future__ import annotations

import csv
import io
import math
import random

SEED, PEOPLE = 20260101, 4000
HEADER = ("application", "sex", "age", "income", "debt", "years_employed", "repaid", "score")
SCORE = {"bias": -0.9, "income": 0.034, "debt": -1.6, "years_employed": 0.05}
"""The stored linear score: logit of the probability to repay; income in thousands, debt as a share of it."""
AGES = (("under 30", 0.27), ("30 to 59", 0.58), ("60 and over", 0.15))


def table() -> bytes:
    """The set as CSV."""
    draw = random.Random(SEED)  # noqa: S311 — made-up people, no secret
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(_application(number, draw) for number in range(1, PEOPLE + 1))
    return sink.getvalue().encode()


def _application(number: int, draw: random.Random) -> tuple[object, ...]:
    sex = "female" if draw.random() < 0.42 else "male"
    age = _age(draw.random())
    scale = {"under 30": 0.8, "30 to 59": 1.1, "60 and over": 0.9}[age] * (0.76 if sex == "female" else 1.0)
    income = round(scale * math.exp(draw.gauss(3.75, 0.4)), 1)
    debt = round(min(1.5, draw.expovariate(2.6)), 3)
    years = round(max(0.0, draw.gauss(9.0 if sex == "male" else 6.5, 5.0)), 1)
    repaid = int(draw.random() < _logistic(0.9 + 0.012 * income - 1.9 * debt))
    return number, sex, age, income, debt, years, repaid, f"{score(income, debt, years):.6f}"


def _age(u: float) -> str:
    for age, share in AGES:
        if u < share:
            return age
        u -= share
    return AGES[-1][0]


def score(income: float, debt: float, years_employed: float) -> float:
    """The probability to repay, by the stored score."""
    return _logistic(
        SCORE["bias"] + SCORE["income"] * income + SCORE["debt"] * debt + SCORE["years_employed"] * years_employed
    )


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


POLICY = b"""# What the lender certifies about its frozen score.
[data]
id = "application"
label = "repaid"
sensitive_features = ["sex", "age"]

[data.values]                   # every value that may occur; anything else is an error
sex = ["female", "male"]
age = ["under 30", "30 to 59", "60 and over"]

[predictions]
score = "score"                 # served as it is: the score is the prediction

[system]
name = "lending-score"
version = "1"
model = "score.json"
frozen = true                   # declared: the score was fixed before these people applied,
held_out = true                 # and none of them was trained on

[layer]                         # no layer yet, only the box that predictions must lie in
lower = 0
upper = 1

[[property]]
id = "parity-sex"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.15

[[property]]
id = "parity-age"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "age"
epsilon = 0.15

[[property]]
id = "residuals-sex"
kind = "feasibility"
metric = "equalized_residuals"
sensitive_features = "sex"
epsilon = 0.20

[[property]]
id = "approvals-sex"
kind = "population"             # about everybody like these people, not only about them
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.30
confidence = 0.95

[[property]]
id = "approvals-ratio"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
ratio = 0.60
confidence = 0.95
"""

STRICT = b"""# What a cautious relying party demands of the same certificate.
[[property]]
id = "parity-sex"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.05

[[property]]
id = "parity-age"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = "age"
epsilon = 0.10

[[property]]
id = "seven-tenths"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
ratio = 0.70
confidence = 0.95

[[property]]
id = "four-fifths"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
ratio = 0.80
confidence = 0.95
"""
