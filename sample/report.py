#!/usr/bin/python3
"""report.py: what docs/SAMPLE.md shows of a training: the plot of the losses; how many answers are right, and the use
of the experts, by kind of question.

    sudo apt-get install python3-torch python3-numpy python3-matplotlib
    python3 sample/report.py DIR docs/sample-loss.png        (DIR: where train.py left its state and log)
"""
import csv
import random
import sys

import matplotlib
import torch

import data
import train
from vocab import Vocab

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def plot(log, png):
    rows = list(csv.DictReader(open(log)))
    step = [int(r["step"]) for r in rows]
    fig, left = plt.subplots(figsize=(8, 4), dpi=100)
    left.semilogy(step, [float(r["loss"]) for r in rows], color="black", label="loss")
    left.set_xlabel("step")
    left.set_ylabel("loss on answers (nats a token)")
    right = left.twinx()
    right.plot(step, [100 * float(r["sum"]) for r in rows], color="tab:blue", label="sums")
    right.plot(step, [100 * float(r["difference"]) for r in rows], color="tab:orange", label="differences")
    right.set_ylabel("held-out answers exact (%)")
    right.set_ylim(0, 101)
    fig.legend(loc="center right", bbox_to_anchor=(0.9, 0.5))
    fig.tight_layout()
    fig.savefig(png)


def draw(vocab, count):
    """New examples by kind."""
    r = random.Random(5)
    by_kind = {}
    for _ in range(count):
        kind, system, template, turns = data.example(r)
        e = vocab.example(system, template, turns)
        if len(e[0]) <= train.LONGEST:
            by_kind.setdefault(data.KIND_NAMES[kind], []).append(e)
    return by_kind


@torch.no_grad()
def experts(model, by_kind):
    """How many per cent of the choices each expert has, by layer, and by layer and kind of question."""
    total = [torch.zeros(train.EXPERTS) for _ in range(train.LAYERS)]
    table = {}
    for kind, es in by_kind.items():
        b = train.Batch(es, sum(len(e[0]) for e in es))
        _, _, chosen = model(b)
        table[kind] = [torch.bincount(c.reshape(-1), minlength=train.EXPERTS).float() for c in chosen]
        for i, t in enumerate(table[kind]):
            total[i] += t
    print("| layer | kind | " + " | ".join(map(str, range(train.EXPERTS))) + " |\n| ---: | --- |"
          + " ---: |" * train.EXPERTS)
    for i, t in enumerate(total):
        for kind, use in [("all", t)] + [(kind, table[kind][i]) for kind in data.KIND_NAMES]:
            print(f"| {i} | {kind} | " + " | ".join(f"{x:.0f}" for x in (100 * use / use.sum()).tolist()) + " |")


def main():
    folder, png = sys.argv[1:]
    plot(f"{folder}/log.csv", png)
    train.ops = train.load_ops(folder)
    vocab = Vocab()
    model = train.Model(len(vocab.texts))
    model.load_state_dict(torch.load(f"{folder}/state.pt")["model"])
    by_kind = draw(vocab, 4000)
    print("| kind | examples | all answers exact |\n| --- | ---: | ---: |")
    for kind in data.KIND_NAMES:
        right = train.exact(model, by_kind[kind])
        print(f"| {kind} | {len(right)} | {100 * sum(right) / len(right):.1f} % |")
    print()
    experts(model, by_kind)


if __name__ == "__main__":
    main()
