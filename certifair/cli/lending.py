"""The embedded lending set: 8 000 made-up loan applications, and three policies on them.

Everything is drawn from one seed with the standard library, so it is the same table on every machine. The disparity is
real in the sense that it has a cause and reaches the outcome: women in this table earn less and have shorter careers
(the drawn gap is about a quarter of the income), and both go with repayment.
"""

from __future__ import annotations

import csv
import io
import math
import random

SEED, PEOPLE = 20260101, 8000
HEADER = ("application", "sex", "age", "income", "debt", "years_employed", "purpose", "repaid")
AGES = (("under 30", 0.27), ("30 to 59", 0.58), ("60 and over", 0.15))
PURPOSES = (("car", 0.4), ("home", 0.35), ("business", 0.25))


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
    age, purpose = _drawn(AGES, draw.random()), _drawn(PURPOSES, draw.random())
    scale = {"under 30": 0.8, "30 to 59": 1.1, "60 and over": 0.9}[age] * (0.76 if sex == "female" else 1.0)
    income = round(scale * math.exp(draw.gauss(3.75, 0.4)), 1)
    debt = round(min(1.5, draw.expovariate(2.6)), 3)
    years = round(max(0.0, draw.gauss(9.0 if sex == "male" else 6.5, 5.0)), 1)
    logit = -1.5 + 0.055 * income - 3.0 * debt + 0.08 * years - (0.7 if purpose == "business" else 0.0)
    return number, sex, age, income, debt, years, purpose, int(draw.random() < 1 / (1 + math.exp(-logit)))


def _drawn(shares: tuple[tuple[str, float], ...], u: float) -> str:
    for name, share in shares:
        if u < share:
            return name
        u -= share
    return shares[-1][0]


_TRAINING = b"""# What the lender trains, serves and certifies.
[data]
id = "application"
label = "repaid"
sensitive_features = ["sex", "age"]
split = {train = 0.6, test = 0.4}   # drawn by the model's seed; the test part is served and certified

[data.values]                   # every value that may occur; anything else is an error
sex = ["female", "male"]
age = ["under 30", "30 to 59", "60 and over"]

[system]
name = "lending"
version = "1"
frozen = true                   # declared: the network was fixed before the test part was seen,
held_out = true                 # and none of it was trained on

[model]
factory = "mlp"
hidden = [16, 8]
seed = 1

[training]
method = "flayer"               # the layer in training and in serving
epochs = 30
batch = 256
learning_rate = 0.01

[layer]                         # mean predictions of every two sexes, and of every two ages
metric = "demographic_parity"
sensitive_features = ["sex", "age"]
epsilon = 0.02
lower = 0
upper = 1
"""

POLICY = (
    _TRAINING
    + b"""
[serve]
batch = 800                     # so many people are served together

[[property]]
id = "parity"
kind = "feasibility"            # exactly, in every batch
metric = "demographic_parity"
sensitive_features = ["sex", "age"]
epsilon = 0.02

[[property]]
id = "replay"
kind = "replay"                 # the scores are the network's
epsilon = 0.000001

[[property]]
id = "residuals"
kind = "feasibility"
metric = "equalized_residuals"
sensitive_features = "sex"
epsilon = 0.20

[[property]]
id = "approvals-sex"
kind = "population"             # about everybody like these people: the network's own decisions, before the layer
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.40
confidence = 0.95

[[property]]
id = "approvals-ratio"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
ratio = 0.50
confidence = 0.95

[[property]]
id = "no-sex-no-age"
kind = "individual"             # whose decision stays the same, whatever these inputs are: neither is an input here
sensitive_features = ["sex", "age"]
share = 1

[[property]]
id = "career"
kind = "individual"             # years_employed is one, and goes with sex: whose decision does not depend on it?
sensitive_features = "years_employed"
share = 0.20

[[property]]
id = "career-of-anybody"
kind = "individual"
form = "domain"                 # of everybody in the domain, not only of the people served
sensitive_features = "years_employed"
share = 0.20

[[property]]
id = "unlike"
kind = "stability"
max_treatment_difference = 0.30 # what equal scores of unequal groups may be served apart: the price of parity

[[property]]
id = "smooth"
kind = "stability"
share_differentiable = 1        # the layer has a derivative at every batch that was served,

[[property]]
id = "sturdy"
kind = "stability"
min_radius = 0.000001           # and keeps it if the scores of a batch move by so much

[[property]]
id = "one-person"
kind = "stability"
max_change = 0.05               # nobody else's prediction moves further when one person joins, leaves, changes group

[[property]]
id = "slope"
kind = "stability"
max_lipschitz = 25              # of a batch's predictions: an input that moves by its whole range counts as 1
inputs = "ranges"
map = "served"

[domain]                        # what an application can say
income = {kind = "continuous", low = 0, high = 300}
debt = {kind = "continuous", low = 0, high = 1.5}
years_employed = {kind = "continuous", low = 0, high = 40}
"""
)

STREAM = (
    _TRAINING
    + b"""
[serve]                         # the same network; people come a few at a time, nobody knows who comes next
batch = 16
online = "pooled"               # no two groups' means over everybody so far differ by more than epsilon, at any moment

[[property]]
id = "pooled"
kind = "aggregate"              # over everybody in the log
metric = "demographic_parity"
sensitive_features = ["sex", "age"]
epsilon = 0.02

[[property]]
id = "every-moment"
kind = "aggregate"
form = "moment"                 # over everybody so far, at the end of every batch
after = 400                     # once so many people were there
metric = "demographic_parity"
sensitive_features = ["sex", "age"]
epsilon = 0.02

[[property]]
id = "every-window"
kind = "aggregate"
form = "window"                 # over the latest so many people, at the end of every batch
window = 800
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.10
"""
)

STRICT = b"""# What a cautious relying party demands of the same certificate.
[[property]]
id = "parity"
kind = "feasibility"
metric = "demographic_parity"
sensitive_features = ["sex", "age"]
epsilon = 0.001

[[property]]
id = "raw-scores"
kind = "feasibility"
map = "scores"                  # what the network says without the layer: nobody certified that
metric = "demographic_parity"
sensitive_features = "sex"
epsilon = 0.05

[[property]]
id = "four-fifths"
kind = "population"
metric = "demographic_parity"
sensitive_features = "sex"
ratio = 0.80
confidence = 0.95
"""
