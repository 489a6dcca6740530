"""A workload in PyTorch, on the CPU: prints a line of JSON, as the other programs here do.

    python train.py W1.toml --seconds 3 --threads 2
"""

import argparse
import json
import pathlib
import resource
import sys
import time
import tomllib

import torch
from safetensors.torch import load_file

AT_ONCE = 0.1  # steps that are begun before a loss is asked for take about so long together
FEWEST = 2  # measurements, at least
OPTIMIZERS = {
    "adamw": lambda p, o: torch.optim.AdamW(p, lr=o["learning_rate"]),
    "sgd": lambda p, o: torch.optim.SGD(p, lr=o["learning_rate"], momentum=o.get("momentum", 0.0)),
}
CELLS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


class Network(torch.nn.Module):
    """The layers of a run file, one after another."""

    def __init__(self, run, features):
        super().__init__()
        self.layers = torch.nn.ModuleList()
        for layer in run["layer"]:
            match layer["type"]:
                case "embedding":
                    made, features = torch.nn.Embedding(run["data"]["vocabulary"], layer["size"]), layer["size"]
                case "linear":
                    made, features = torch.nn.Linear(features, layer["out_features"]), layer["out_features"]
                case "relu":
                    made = torch.nn.ReLU()
                case kind:
                    made = CELLS[kind](features, layer["hidden_size"], layer.get("layers", 1))
                    features = layer["hidden_size"]
            self.layers.append(made)

    def forward(self, x, state):
        for layer in self.layers:
            if isinstance(layer, torch.nn.RNNBase):
                x, state = layer(x, state)
            else:
                x = layer(x)
        return x, state


def detached(state):
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


class Trainee:
    def __init__(self, run, folder):
        train, data = run["train"], run["data"]
        arrays = load_file(folder / data["file"])
        self.batch, self.groups, self.clip = train["batch"], train.get("accumulate", 1), train.get("clip_norm")
        self.carry = train.get("carry_state", False)
        x, y = arrays["inputs"], arrays["targets"]
        if "vocabulary" in data:
            x = x.long()
        if data["target"] == "class":
            y = y.long()
        self.batches = list(zip(x.split(self.batch), y.split(self.batch)))
        if self.carry:  # timesteps come first, as in torch.nn.RNN
            self.batches = [(x.t().contiguous(), y.t().contiguous()) for x, y in self.batches]
        torch.manual_seed(run["seed"])
        self.network = Network(run, x.shape[1])
        self.loss_of = torch.nn.CrossEntropyLoss() if train["loss"] == "cross_entropy" else torch.nn.MSELoss()
        self.optimizer = OPTIMIZERS[train["optimizer"]["type"]](self.network.parameters(), train["optimizer"])
        self.state, self.begun, self.last = None, 0, None

    def step(self):
        x, y = self.batches[self.begun % len(self.batches)]
        self.begun += 1
        self.optimizer.zero_grad()
        rows = 1 if self.carry else 0
        parts = zip(x.chunk(self.groups, rows), y.chunk(self.groups, rows))
        self.last = 0.0
        for x, y in parts:
            out, state = self.network(x, self.state)
            if self.carry:
                self.state = detached(state)
            loss = self.loss_of(out.flatten(0, -2), y.flatten()) if y.dtype == torch.long else self.loss_of(out, y)
            loss = loss / self.groups
            loss.backward()
            self.last = self.last + loss.detach()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()

    def loss(self):
        return float(self.last)


def steps(trainee, count):
    """Wall and processor seconds of so many steps, and the last loss."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        trainee.step()
    loss = trainee.loss()
    return time.perf_counter() - wall, time.process_time() - cpu, loss


def measure(trainee, about, seconds, waits):
    """As `benches/workloads/measure.rs` does it."""
    first, _, first_loss = steps(trainee, 1)
    started, one, warmed = time.perf_counter(), steps(trainee, 1)[0], 1
    while warmed < 3 or time.perf_counter() - started < seconds / 4:
        one, warmed = min(one, steps(trainee, 1)[0]), warmed + 1
    about |= {"first_step_ms": 1e3 * first, "first_loss": first_loss, "warm_step_ms": 1e3 * one}
    if not waits:
        print(json.dumps(about | sample(trainee, one, seconds)))
        return
    print(json.dumps(about), flush=True)
    for _ in sys.stdin:
        print(json.dumps(about | sample(trainee, one, seconds)), flush=True)


def sample(trainee, one, seconds):
    """One measurement of steps that take about `one` seconds each."""
    together = int(min(max(AT_ONCE / max(one, 1e-6), 1), 1000))
    samples, started = [], time.perf_counter()
    while len(samples) < FEWEST or time.perf_counter() - started < seconds:
        samples.append(steps(trainee, together))
    wall, cpu = (sorted(1e3 * sample[i] / together for sample in samples) for i in (0, 1))
    return {
        "steps": together * len(samples),
        "wall_ms": wall[len(wall) // 2],
        "wall_ms_best": wall[0],
        "cpu_ms": cpu[len(cpu) // 2],
        "cpu_ms_best": cpu[0],
        "last_loss": samples[-1][2],
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--wait", action="store_true", help="measure once for each line that comes in")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    started = time.perf_counter()
    trainee = Trainee(tomllib.loads(asked.run.read_text()), asked.run.parent)
    start_ms = 1e3 * (time.perf_counter() - started)
    adapter = f"CPU, {asked.threads} threads, {torch.backends.cpu.get_cpu_capability()}"
    about = {"peer": "pytorch", "version": torch.__version__, "workload": asked.run.stem, "adapter": adapter}
    measure(trainee, about | {"start_ms": start_ms}, asked.seconds, asked.wait)


main()
