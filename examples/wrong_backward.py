"""What if my backward were wrong?  Train the same small network with one wrong derivative after the other.

Some mistakes ruin the training, some slow it down, and some cannot be seen in the loss at all.  The last column is the
first property of `tg.testing.prove` that notices.

python examples/wrong_backward.py
"""

import numpy as np

import tinygrad_lm as tg
from tinygrad_lm import nn
from tinygrad_lm.testing import mutants

BARS = "▁▂▃▄▅▆▇█"
WRONG = [
    "linear/weight/scaled-by-1.01",
    "linear/bias/summed-back-by-the-mean",
    "linear/bias/the-first-row-only",
    "linear/weight/one-entry-dropped",
    "layer_norm/x/the-mean-term-forgotten",
    "layer_norm/x/the-scale-taken-as-constant",
    "tanh/x/stale",
    "cross_entropy/logits/some-rows-count-more",
    "tanh/x/zero",
    "cross_entropy/logits/negated",
]


def spirals(count=40):
    """Three arms of a spiral, and which arm each point is on."""
    along = np.linspace(0.2, 1, count)
    turns = [3 * along + 2 * np.pi * arm / 3 for arm in range(3)]
    points = np.concatenate([np.stack([along * np.cos(t), along * np.sin(t)], 1) for t in turns])
    return points.astype("float32"), np.repeat(np.arange(3), count)


def train(steps=250):
    """The losses of one training run; every run begins with the same numbers."""
    tg.manual_seed(0)
    points, arm = spirals()
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.LayerNorm(32), nn.Linear(32, 3))
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(steps):
        loss = tg.cross_entropy(model(points), arm)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def curve(losses, low=0.05, high=1.2):
    """The losses as bars on a logarithmic scale; nan is as high as it gets."""
    height = np.log(np.nan_to_num(losses[::10], nan=high, posinf=high) / low) / np.log(high / low)
    return "".join([BARS[i] for i in (height.clip(0, 1) * (len(BARS) - 1)).round().astype(int)])


def main():
    print(f"{'what is wrong':<42} {'loss':>7}  {'on its way':<26} first noticed by")
    losses = train()
    right, unseen = losses[-1], 0
    print(f"{'nothing':<42} {right:7.4f}  {curve(losses)}")
    for name in WRONG:
        with mutants.active(name) as mutant, np.errstate(all="ignore"):
            losses = train()
        noticed = mutants.killed_by(mutant)
        unseen += losses[-1] < 1.1 * right
        print(f"{name:<42} {losses[-1]:7.4f}  {curve(losses):<26} {noticed}")
        assert noticed
    print(f"\n{unseen} of {len(WRONG)} train as well as the right one: a loss that falls proves little.")


if __name__ == "__main__":
    main()
