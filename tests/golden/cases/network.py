"""A PyTorch module made of the `[[layer]]`s of a run file.

A layer's module hangs at the attribute of the layer's name, so the module's parameters are named as
Plimsoll names them. Sequences are (T, B, ..), rows alone are (B, ..).
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CELLS = ("rnn", "gru", "lstm")
# Functions without weights, from a layer's settings.
FUNCTIONS = {
    "tanh": lambda layer: torch.tanh,
    "relu": lambda layer: torch.relu,
    "sigmoid": lambda layer: torch.sigmoid,
    "silu": lambda layer: F.silu,
    "gelu": lambda layer: nn.GELU(approximate=layer["approximate"]),
    "softplus": lambda layer: nn.Softplus(layer["beta"], layer["threshold"]),
    "leaky_relu": lambda layer: nn.LeakyReLU(layer["negative_slope"]),
}


class ResetBeforeGru(nn.Module):
    """The GRU of Cho et al. (2014): the reset gate before the product, not after it as in nn.GRU.

    n = tanh(W_n x + b_in + U_n (r * h) + b_hn), h' = (1 - z) * n + z * h. Names and the order of the
    gates, r then z then n, are nn.GRU's.
    """

    def __init__(self, input_size, hidden_size, layers):
        super().__init__()
        self.hidden_size, self.num_layers = hidden_size, layers
        like = nn.GRU(input_size, hidden_size, layers)
        for name, value in like.named_parameters():
            self.register_parameter(name, nn.Parameter(value.detach().clone()))

    def layer(self, k, x, h, lengths):
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(self, f"{name}_l{k}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        size, outputs = self.hidden_size, []
        for t in range(len(x)):
            x_rz, x_n = F.linear(x[t], weight_ih, bias_ih).split([2 * size, size], dim=-1)
            h_rz = F.linear(h, weight_hh[: 2 * size], bias_hh[: 2 * size])
            r, z = torch.sigmoid(x_rz + h_rz).chunk(2, dim=-1)
            n = torch.tanh(x_n + F.linear(r * h, weight_hh[2 * size :], bias_hh[2 * size :]))
            new = (1 - z) * n + z * h
            h = new if lengths is None else torch.where((t < lengths)[:, None], new, h)
            outputs.append(h)
        return torch.stack(outputs), h

    def forward(self, x, state, lengths):
        ends = []
        for k in range(self.num_layers):
            x, end = self.layer(k, x, state[k], lengths)
            ends.append(end)
        return x, torch.stack(ends)


def recurrent(layer, features):
    sizes = (features, layer["hidden_size"], layer["layers"])
    if not layer.get("reset_after", True):
        assert layer["bias"] and not layer["bidirectional"]
        return ResetBeforeGru(*sizes)
    options = {key: layer[key] for key in ("bidirectional", "dropout", "bias")}
    if layer["type"] == "rnn":
        return nn.RNN(*sizes, nonlinearity=layer["nonlinearity"], **options)
    return {"gru": nn.GRU, "lstm": nn.LSTM}[layer["type"]](*sizes, **options)


class Network(nn.Module):
    def __init__(self, layers, task):
        super().__init__()
        self.layers, self.widths = layers, {}
        before = None
        for layer in layers:
            width = sum(self.widths[name] for name in self.inputs_of(layer, before) if name)
            self.widths[layer["name"]] = self.place(layer, width or task.get("features"), task)
            before = layer["name"]

    @staticmethod
    def inputs_of(layer, before):
        """Names of the layers it reads; the layer before, which the first does not have."""
        names = layer.get("input", before)
        return names if isinstance(names, list) else [names]

    def place(self, layer, width, task):
        """Adds the layer's module, if it has one; returns how many features it makes of `width`."""
        name, kind = layer["name"], layer["type"]
        if kind == "embedding":
            self.add_module(name, nn.Embedding(task["vocabulary"], layer["size"], layer.get("padding_idx")))
            return layer["size"]
        if kind in CELLS:
            self.add_module(name, recurrent(layer, width))
            return layer["hidden_size"] * (2 if layer["bidirectional"] else 1)
        if kind == "linear":
            linear = nn.Linear(width, layer["out_features"], layer["bias"])
            if "tied" in layer:
                linear.weight = getattr(self, layer["tied"]).weight
            self.add_module(name, linear)
            return layer["out_features"]
        if kind == "layer_norm":
            options = (layer["eps"], layer["elementwise_affine"], layer["bias"])
            self.add_module(name, nn.LayerNorm(width, *options))
            return width
        if kind == "add":
            assert width % len(layer["input"]) == 0
            return width // len(layer["input"])
        assert kind in ("concat", "last") or kind in FUNCTIONS, kind
        return width

    def zero_state(self, rows):
        """For each recurrent layer (S, layers, B, H), S being 2 for an LSTM: h, then c."""
        cells = [layer for layer in self.layers if layer["type"] in CELLS]
        parts = {layer["name"]: 2 if layer["type"] == "lstm" else 1 for layer in cells}
        stacks = {layer["name"]: layer["layers"] * (1 + layer["bidirectional"]) for layer in cells}
        like = next(self.parameters())
        return {
            layer["name"]: like.new_zeros(parts[layer["name"]], stacks[layer["name"]], rows, layer["hidden_size"])
            for layer in cells
        }

    def recur(self, layer, x, state, lengths):
        module = getattr(self, layer["name"])
        if isinstance(module, ResetBeforeGru):
            y, end = module(x, state[0], lengths)
            return y, end[None]
        lstm = layer["type"] == "lstm"
        start = tuple(state) if lstm else state[0]
        if lengths is None:
            y, end = module(x, start)
        else:
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
            packed, end = module(packed, start)
            y, _ = pad_packed_sequence(packed, total_length=len(x))
        return y, torch.stack(end) if lstm else end[None]

    def forward(self, x, state, lengths=None):
        """The last layer's output, and the recurrent layers' states at each row's end."""
        outputs, ends = {None: x}, {}
        before = None
        for layer in self.layers:
            name, kind = layer["name"], layer["type"]
            read = [outputs[i] for i in self.inputs_of(layer, before)]
            x = sum(read[1:], read[0]) if kind == "add" else torch.cat(read, dim=-1) if len(read) > 1 else read[0]
            if kind in CELLS:
                x, ends[name] = self.recur(layer, x, state[name], lengths)
            elif kind == "last":
                x = x[-1] if lengths is None else x[lengths - 1, torch.arange(x.shape[1])]
            elif kind in FUNCTIONS:
                x = FUNCTIONS[kind](layer)(x)
            elif kind not in ("add", "concat"):
                x = getattr(self, name)(x)
            outputs[name] = x
            before = name
        return x, ends
