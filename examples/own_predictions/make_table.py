"""Make predictions.csv for this example: any table with one row a person will do; this one is drawn from a seed."""

from __future__ import annotations

import csv
import random
import sys

draw = random.Random(11)
writer = csv.writer(sys.stdout, lineterminator="\n")
writer.writerow(["case", "gender", "region", "outcome", "risk"])
for case in range(1, 1501):
    gender, region = draw.choice(["woman", "man"]), draw.choices(["north", "south", "islands"], [5, 4, 1])[0]
    risk = min(1.0, max(0.0, draw.gauss(0.42 if region == "north" else 0.48, 0.15)))
    writer.writerow([case, gender, region, int(draw.random() < risk), f"{risk:.4f}"])
