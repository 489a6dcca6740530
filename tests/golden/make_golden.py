"""Makes the golden training trajectories that the test suite compares with.

Run it from the repository root, without arguments:

    python tests/golden/make_golden.py

It needs torch, numpy and safetensors; the committed files were made with
Python 3.11, torch 2.15.0 (on the CPU), numpy 2.4.6 and safetensors 0.8.0.
The test suite itself reads the committed files and needs no Python.

Three small models are trained for 20 steps each, in f32 on one CPU thread:

  elman        a character model with a tanh RNN, truncated BPTT with a carried
               state, gradient clipping and AdamW
  mlp          a regression with gradient accumulation and SGD with momentum
  mlp_classes  a classifier with ignored rows, gradient accumulation, gradient
               clipping and AdamW

For each, NAME.safetensors holds the data, the `initial.` and the `final.`
weights, and NAME.json holds the loss and the gradient norm of every step (f32
values, written so that they read back exactly) and the hyperparameters.

Running the script again on one machine gives the same bytes. Another CPU or
another torch may change the last bits of the floats.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).resolve().parent
STEPS = 20
IGNORE = -1
MAX_FILE_BYTES = 100_000
# The agreement asked of a full batch and the same batch in micro-batches.
ACCUMULATION_TOLERANCE = 1e-5


# ---------------------------------------------------------------- shared parts


def parameters_of(model, prefix, names=str):
    """Copies of the model's parameters, as `prefix` + `names(name)`."""
    return {
        prefix + names(name): value.detach().clone().contiguous()
        for name, value in model.state_dict().items()
    }


def total_norm(model):
    """The 2-norm of all gradients together, which is what clipping looks at."""
    return nn.utils.get_total_norm([p.grad for p in model.parameters()])


def clip(model, max_norm):
    """Clips the gradients if `max_norm` is set; returns the norm before it."""
    if max_norm is None:
        return total_norm(model).item()
    return nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()


def adamw(model, hyper):
    # The decay reaches every parameter, biases and embeddings included, which
    # is what torch does when it is given no parameter groups.
    return torch.optim.AdamW(
        model.parameters(),
        lr=hyper["lr"],
        betas=tuple(hyper["betas"]),
        eps=hyper["eps"],
        weight_decay=hyper["weight_decay"],
        foreach=False,
    )


def sgd(model, hyper):
    return torch.optim.SGD(
        model.parameters(), lr=hyper["lr"], momentum=hyper["momentum"], foreach=False
    )


def clipped_steps(norms, max_norm):
    return sum(norm > max_norm for norm in norms)


def write(name, tensors, losses, norms, hyper):
    """Writes both files of a trajectory and prints its row of the table."""
    tensors_path = HERE / f"{name}.safetensors"
    json_path = HERE / f"{name}.json"
    save_file(tensors, tensors_path)
    record = {
        "torch_version": torch.__version__,
        "hyperparameters": hyper,
        "losses": losses,
        "grad_norms": norms,
    }
    # Python writes the shortest decimal that reads back as the same f64, and
    # the f64 is the f32 value itself, so nothing is lost on the way.
    json_path.write_text(json.dumps(record, indent=1) + "\n")
    sizes = [path.stat().st_size for path in (tensors_path, json_path)]
    assert max(sizes) < MAX_FILE_BYTES, sizes
    max_norm = hyper.get("max_norm")
    clipped = "-" if max_norm is None else f"{clipped_steps(norms, max_norm)}/{STEPS}"
    print(
        f"{name:12} {losses[0]:10.6f} {losses[-1]:10.6f} {min(norms):9.4f} "
        f"{max(norms):9.4f} {clipped:>8} {sizes[0]:9} {sizes[1]:9}"
    )


# ----------------------------------------------------------------------- elman


class Elman(nn.Module):
    def __init__(self, vocabulary, embedding, hidden):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.rnn = nn.RNN(embedding, hidden, nonlinearity="tanh", batch_first=True)
        self.linear = nn.Linear(hidden, vocabulary)

    def forward(self, ids, state):
        hidden, state = self.rnn(self.embedding(ids), state.unsqueeze(0))
        return self.linear(hidden), state.squeeze(0)


def make_text(length, vocabulary):
    """Ids that mostly follow a rule, so that there is something to learn."""
    noise = torch.rand(length)
    jumps = torch.randint(vocabulary, (length,))
    ids = [0]
    for i in range(1, length):
        follows = noise[i] < 0.8
        ids.append((3 * ids[-1] + 1) % vocabulary if follows else int(jumps[i]))
    return torch.tensor(ids, dtype=torch.int32)


def windows(text, batch, window):
    """Yields (inputs, targets, ends) for ever; `ends` marks a stream's end.

    The text is cut into `batch` contiguous streams and the rest is dropped.
    The last window of a stream is padded, so that every transition is trained
    on exactly once before reading starts over.
    """
    length = len(text) // batch
    streams = text[: batch * length].reshape(batch, length)
    start = 0
    while True:
        valid = min(window, length - 1 - start)
        inputs = torch.zeros(batch, window, dtype=torch.int32)
        targets = torch.full((batch, window), IGNORE, dtype=torch.int32)
        inputs[:, :valid] = streams[:, start : start + valid]
        targets[:, :valid] = streams[:, start + 1 : start + 1 + valid]
        start += valid
        # One unit alone has no transition left in it.
        ends = length - start < 2
        yield inputs, targets, ends
        if ends:
            start = 0


def make_elman():
    hyper = {
        "vocabulary": 11,
        "embedding": 6,
        "hidden": 8,
        "batch": 4,
        "window": 5,
        "stream_length": 38,
        "steps": STEPS,
        "ignore_index": IGNORE,
        "max_norm": 0.5,
        "optimizer": "adamw",
        "lr": 1e-2,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.01,
        "seed": 1,
    }
    torch.manual_seed(hyper["seed"])
    vocabulary, batch = hyper["vocabulary"], hyper["batch"]
    # Three ids too many, so that dropping the rest is part of the test.
    text = make_text(batch * hyper["stream_length"] + 3, vocabulary)
    assert set(text.tolist()) == set(range(vocabulary))

    model = Elman(vocabulary, hyper["embedding"], hyper["hidden"])
    initial = parameters_of(model, "initial.")
    optimizer = adamw(model, hyper)
    zeros = torch.zeros(batch, hyper["hidden"])
    state = zeros
    source = windows(text, batch, hyper["window"])
    all_inputs, all_targets, losses, norms, ended = [], [], [], [], []
    for _ in range(STEPS):
        inputs, targets, ends = next(source)
        optimizer.zero_grad()
        logits, state = model(inputs.long(), state)
        loss = F.cross_entropy(
            logits.reshape(-1, vocabulary), targets.reshape(-1).long(), ignore_index=IGNORE
        )
        loss.backward()
        norms.append(clip(model, hyper["max_norm"]))
        optimizer.step()
        losses.append(loss.item())
        # The gradient stops at the window's edge; the value goes on.
        state = zeros if ends else state.detach()
        all_inputs.append(inputs)
        all_targets.append(targets)
        ended.append(ends)

    # A trajectory that skips what it is there to pin down would prove nothing.
    assert STEPS // 2 < clipped_steps(norms, hyper["max_norm"]) < STEPS, norms
    assert any(ended) and not ended[-1], "a stream ends, and the final state is not zero"
    assert any((t == IGNORE).any() for t in all_targets), "a short window occurs"
    tensors = {
        "text": text,
        "inputs": torch.stack(all_inputs),
        "targets": torch.stack(all_targets),
        "final_state": state.clone().contiguous(),
        **initial,
        **parameters_of(model, "final."),
    }
    write("elman", tensors, losses, norms, hyper)


# ------------------------------------------------------- multi-layer perceptrons


def numbered(model):
    """Renames `4.weight` to `linear_3.weight`: the type, numbered from 2 on."""
    linears = [i for i, layer in enumerate(model) if isinstance(layer, nn.Linear)]

    def name(key):
        index, rest = key.split(".")
        number = linears.index(int(index)) + 1
        return f"linear.{rest}" if number == 1 else f"linear_{number}.{rest}"

    return name


def train(make_model, make_optimizer, hyper, inputs, targets, share_of_loss, micro_batches):
    """Trains from the same start, adding up the gradients of the micro-batches.

    `share_of_loss(outputs, targets, all_targets)` is what a micro-batch adds to
    the loss of its effective batch, so the shares sum to the full loss.
    """
    model = make_model()
    initial = parameters_of(model, "initial.", numbered(model))
    optimizer = make_optimizer(model, hyper)
    losses, norms = [], []
    for x, y in zip(inputs, targets):
        optimizer.zero_grad()
        total = torch.zeros(())
        for micro_x, micro_y in zip(x.chunk(micro_batches), y.chunk(micro_batches)):
            share = share_of_loss(model(micro_x), micro_y, y)
            share.backward()
            total += share.detach()
        norms.append(clip(model, hyper.get("max_norm")))
        optimizer.step()
        losses.append(total.item())
    weights = {**initial, **parameters_of(model, "final.", numbered(model))}
    return weights, losses, norms


def assert_same_trajectory(one, other):
    """Losses and norms agree one by one, and weights relative to their tensor."""
    for ours, theirs in zip(one[1] + one[2], other[1] + other[2]):
        assert math.isclose(ours, theirs, rel_tol=ACCUMULATION_TOLERANCE), (ours, theirs)
    for name, value in one[0].items():
        difference = (value - other[0][name]).abs().max() / value.abs().max()
        assert difference < ACCUMULATION_TOLERANCE, (name, difference.item())


def make_mlp_files(name, make_model, make_optimizer, hyper, inputs, targets, share_of_loss):
    """Trains with the full batch and with micro-batches; records the latter."""
    arguments = (make_model, make_optimizer, hyper, inputs, targets, share_of_loss)
    whole = train(*arguments, micro_batches=1)
    accumulated = train(*arguments, micro_batches=hyper["micro_batches"])
    assert_same_trajectory(whole, accumulated)
    weights, losses, norms = accumulated
    write(name, {"inputs": inputs, "targets": targets, **weights}, losses, norms, hyper)
    return norms


def seeded(seed, *layers):
    """A function that builds the same model each time it is called."""

    def make_model():
        torch.manual_seed(seed)
        return nn.Sequential(*(layer() for layer in layers))

    return make_model


def make_mlp():
    hyper = {
        "layers": ["linear 7 16", "tanh", "linear 16 13", "relu", "linear 13 3"],
        "batch": 24,
        "micro_batches": 4,
        "steps": STEPS,
        "optimizer": "sgd",
        "lr": 0.05,
        "momentum": 0.9,
        "data_seed": 2,
        "weights_seed": 3,
    }
    torch.manual_seed(hyper["data_seed"])
    inputs = torch.randn(STEPS, hyper["batch"], 7)
    noise = torch.randn(STEPS, hyper["batch"], 3)
    targets = torch.tanh(inputs @ torch.randn(7, 3)) + 0.1 * noise
    make_model = seeded(
        hyper["weights_seed"],
        lambda: nn.Linear(7, 16),
        nn.Tanh,
        lambda: nn.Linear(16, 13),
        nn.ReLU,
        lambda: nn.Linear(13, 3),
    )

    def share_of_loss(outputs, targets, all_targets):
        return F.mse_loss(outputs, targets) * (len(targets) / len(all_targets))

    make_mlp_files("mlp", make_model, sgd, hyper, inputs, targets, share_of_loss)


def wide_linear(inputs, outputs, scale):
    # Torch's own start has gradients so small that clipping would never act.
    layer = nn.Linear(inputs, outputs)
    layer.weight.data *= scale
    return layer


def make_mlp_classes():
    hyper = {
        "layers": ["linear 7 16", "sigmoid", "linear 16 5"],
        "batch": 24,
        "micro_batches": 2,
        "steps": STEPS,
        "ignore_index": IGNORE,
        "max_norm": 1.0,
        "optimizer": "adamw",
        "lr": 1e-2,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "weight_decay": 0.1,
        "initial_scale": 4.0,
        "data_seed": 4,
        "weights_seed": 5,
    }
    torch.manual_seed(hyper["data_seed"])
    inputs = torch.randn(STEPS, hyper["batch"], 7)
    targets = (inputs @ torch.randn(7, 5)).argmax(-1).to(torch.int32)
    targets[torch.rand(targets.shape) < 0.15] = IGNORE
    # Unequal halves tell the mean over all valid rows from a mean of two means.
    valid = (targets != IGNORE).reshape(STEPS, hyper["micro_batches"], -1).sum(-1)
    assert (valid[:, 0] != valid[:, 1]).sum() > STEPS // 2
    make_model = seeded(
        hyper["weights_seed"],
        lambda: wide_linear(7, 16, hyper["initial_scale"]),
        nn.Sigmoid,
        lambda: wide_linear(16, 5, hyper["initial_scale"]),
    )

    def share_of_loss(outputs, targets, all_targets):
        total = F.cross_entropy(outputs, targets.long(), ignore_index=IGNORE, reduction="sum")
        return total / (all_targets != IGNORE).sum()

    norms = make_mlp_files(
        "mlp_classes", make_model, adamw, hyper, inputs, targets, share_of_loss
    )
    assert 0 < clipped_steps(norms, hyper["max_norm"]) < STEPS, norms


def main():
    # One thread keeps the order of every sum the same from run to run.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    print(
        f"{'name':12} {'first loss':>10} {'last loss':>10} {'min norm':>9} "
        f"{'max norm':>9} {'clipped':>8} {'tensors':>9} {'json':>9}"
    )
    make_elman()
    make_mlp()
    make_mlp_classes()


if __name__ == "__main__":
    main()
