"""How many adaptations `post-exit ahead` would leave out, and how many of these changed the answer, from results of the form without it.

    riposte eval --model cifar10-robust --preset f-cifar --riposte none --seed 0 --images 500 --export attacked.npz
    python docs/results/forms/ahead/ahead.py cifar10-robust attacked.npz docs/results/f-cifar-narrow-fixed-stop.jsonl

With `--stop never` for the file of that name; the images of `natural` are in every export.
"""

import json
import sys
from pathlib import Path

import numpy as np
import riposte

model, images, results = sys.argv[1:]
which = "natural" if "natural" in Path(results).name else "attacked"
logits = riposte.load(model)(np.load(images)[which])
records = [json.loads(line) for line in Path(results).read_text().splitlines() if line.startswith('{"input"')][: len(logits)]
adapted = left = changed = 0
for row, record in zip(logits, records):
    answer = record[f"riposte_{which}"]
    original, neighbor = answer["original"], answer.get("neighbor", answer.get("neighbour"))
    assert row.argmax() == original, f"image {record['input']} of the export is another one"
    if original != neighbor:
        adapted += 1
        if row[original] - row[neighbor] > 1:
            left += 1
            changed += answer["answer"] != original
print(f"{left} of {adapted} adaptations would be left out, of which {changed} changed the answer")
