#!/usr/bin/env python3
"""Writes cases.json: expressions on tensors in Lua beside what PyTorch computes for the same, forward and gradient.

    pip install torch && python3 Tests/Goldens/tensors/make_cases.py

Inputs are not stored: element i (from 1) of an input is ((7919 i + 104729 seed) mod 2003) / 1001.5 - 1, times `scale`,
plus `shift`, in double precision, then rounded to 32 bits; integers are low + floor((u + 1) / 2 · (high - low + 1)).
Gradients are those of the sum over all float results of Σ w · result, with w made like an input with the seeds 101, ….
Of gradients with more than 200 elements two sums are stored: Σ g, and Σ w g with w of seed 200.
"""
import json
import math
import os

import torch
import torch.nn.functional as F

inf, nan = math.inf, math.nan
cases = []


def numbers(count, seed, scale=1.0, shift=0.0):
    return [(((i * 7919 + seed * 104729) % 2003) / 1001.5 - 1) * scale + shift for i in range(1, count + 1)]


def count(shape):
    return math.prod(shape)


def x(*shape, seed=1, scale=1.0, shift=0.0):
    return {"shape": list(shape), "seed": seed, "scale": scale, "shift": shift}


def ints(low, high, *shape, seed=5):
    return {"shape": list(shape), "seed": seed, "low": low, "high": high, "dtype": "i32"}


def bools(*shape, seed=6):
    return {"shape": list(shape), "seed": seed, "dtype": "bool"}


def given(values, dtype="f32"):
    return {"values": values, "dtype": dtype}


def make(spec):
    dtype = spec.get("dtype", "f32")
    if "values" in spec:
        t = torch.tensor(spec["values"], dtype={"f32": torch.float32, "i32": torch.int64, "bool": torch.bool}[dtype])
    else:
        u = numbers(count(spec["shape"]), spec["seed"], spec.get("scale", 1.0), spec.get("shift", 0.0))
        if dtype == "i32":
            span = spec["high"] - spec["low"] + 1
            t = torch.tensor([min(spec["high"], spec["low"] + math.floor((v + 1) / 2 * span)) for v in u], dtype=torch.int64)
        elif dtype == "bool":
            t = torch.tensor([v > 0 for v in u], dtype=torch.bool)
        else:
            t = torch.tensor(u, dtype=torch.float64).to(torch.float32)
        t = t.reshape(spec["shape"])
    return t.requires_grad_(dtype == "f32")


def number(v):
    if isinstance(v, bool):
        return v
    if isinstance(v, int):
        return v
    if math.isnan(v) or math.isinf(v):
        return str(v)
    return float(f"{v:.7g}")


def stored(value):
    """The same without infinities and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {k: stored(v) for k, v in value.items()}
    if isinstance(value, list):
        return [stored(v) for v in value]
    return number(value) if isinstance(value, (int, float)) else value


def flat(t):
    return [number(v) for v in t.detach().reshape(-1).tolist()]


def case(lua, specs, f, tolerance=None, gradient=True):
    inputs = [make(s) for s in specs]
    results = f(*inputs)
    results = list(results) if isinstance(results, (tuple, list)) else [results]
    entry = {"lua": lua, "inputs": [stored(s) for s in specs], "results": []}
    if tolerance:
        entry["tolerance"] = tolerance
    loss = None
    for k, r in enumerate(results):
        dtype = "f32" if r.is_floating_point() else "bool" if r.dtype == torch.bool else "i32"
        assert r.numel() <= 300, lua
        entry["results"].append({"shape": list(r.shape), "dtype": dtype, "values": flat(r)})
        if r.requires_grad:
            w = torch.tensor(numbers(r.numel(), 101 + k), dtype=torch.float64).to(torch.float32).reshape(r.shape)
            loss = (loss if loss is not None else 0) + (w * r).sum()
    if gradient and loss is not None:
        loss.backward()
        entry["gradients"] = []
        for t in inputs:
            if t.grad is None:
                entry["gradients"].append(False)
            elif t.numel() > 200:
                g = t.grad.reshape(-1).double()
                w = torch.tensor(numbers(t.numel(), 200), dtype=torch.float64)
                entry["gradients"].append({"sums": [number(g.sum().item()), number((g * w).sum().item())]})
            else:
                entry["gradients"].append(flat(t.grad))
    cases.append(entry)


# Functions of each element, on every kind of shape.
shapes = [(), (1,), (7,), (3, 5), (2, 3, 4), (0,), (2, 0, 3)]
unary = [
    ("exp", torch.exp, {}), ("expm1", torch.expm1, {}), ("log", torch.log, {"shift": 1.5}),
    ("log1p", torch.log1p, {"shift": 0.2}), ("sqrt", torch.sqrt, {"shift": 1.5}), ("rsqrt", torch.rsqrt, {"shift": 1.5}),
    ("reciprocal", torch.reciprocal, {"shift": 2.0}), ("square", torch.square, {}), ("abs", torch.abs, {}),
    ("sin", torch.sin, {"scale": 3.0}), ("cos", torch.cos, {"scale": 3.0}), ("tanh", torch.tanh, {"scale": 2.0}),
    ("erf", torch.erf, {"scale": 2.0}), ("sigmoid", torch.sigmoid, {"scale": 4.0}), ("relu", torch.relu, {}),
    ("silu", F.silu, {"scale": 3.0}), ("softplus", F.softplus, {"scale": 3.0}), ("logsigmoid", F.logsigmoid, {"scale": 3.0}),
    ("gelu", F.gelu, {"scale": 2.0}),
]
for i, (name, f, range_) in enumerate(unary):
    for shape in (shapes[i % 7], shapes[(i + 3) % 7]):
        case(f"x:{name}()", [x(*shape, **range_)], f)
case("x:gelu(true)", [x(2, 5, scale=3.0)], lambda t: F.gelu(t, approximate="tanh"))
for name in ("floor", "ceil", "round", "sign"):
    case(f"x:{name}()", [x(3, 5, scale=3.0)], lambda t, n=name: getattr(torch, n)(t), gradient=False)
case("x:round()", [given([0.5, 1.5, 2.5, -0.5, -1.5])], torch.round, gradient=False)
special = given([nan, inf, -inf, 0.0, -0.0, 1e30, -1e30, 1e-30])
for name in ("exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu", "expm1", "square", "sin", "erf"):
    case(f"x:{name}()", [special], lambda t, n=name: getattr(torch, n)(t), gradient=False)
for name in ("isnan", "isinf", "isfinite"):
    case(f"x:{name}()", [special], lambda t, n=name: getattr(torch, n)(t))
case("x:softplus()", [given([-200.0, -20.0, 0.0, 20.0, 200.0])], F.softplus)
case("x:logsigmoid()", [given([-200.0, -20.0, 0.0, 20.0, 200.0])], F.logsigmoid)
case("x:clamp(-0.5, 0.5)", [x(4, 5)], lambda t: t.clamp(-0.5, 0.5))
case("x:clamp(nil, 0.25)", [x(9)], lambda t: t.clamp(max=0.25))
# Not at the bounds themselves, where ours is 1 as in older versions of PyTorch, and 0 in 2.15.
case("x:clamp(-1, 1)", [given([nan, inf, -inf, -1.25, 0.75, 0.0])], lambda t: t.clamp(-1, 1))

# Two operands, broadcast in every way.
pairs = [((), ()), ((5,), (5,)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((2, 1, 3), (4, 1)), ((), (2, 3)), ((1,), (0,)),
         ((2, 0), (1, 1)), ((1, 1, 2), (3, 2))]
binary = [("+", lambda a, b: a + b), ("-", lambda a, b: a - b), ("*", lambda a, b: a * b), ("/", lambda a, b: a / b)]
for name, f in binary:
    for a, b in pairs:
        case(f"x {name} y", [x(*a), x(*b, seed=2, shift=2.5)], f)
for a, b in pairs[1:5]:
    case("x ^ y", [x(*a, shift=1.5), x(*b, seed=2, scale=2.0)], lambda a, b: a ** b)
    case("x:minimum(y)", [x(*a), x(*b, seed=2)], torch.minimum)
    case("x:maximum(y)", [x(*a), x(*b, seed=2)], torch.maximum)
    case("x:where(x:gt(y), y)", [x(*a), x(*b, seed=2)], lambda a, b: torch.where(a > b, a, b))
case("x ^ 3", [x(6)], lambda t: t ** 3)
case("2 ^ x", [x(6)], lambda t: 2 ** t)
case("x // 0.3", [x(9, scale=3.0)], lambda t: torch.floor(t / 0.3), gradient=False)
case("x % 0.75", [x(9, scale=3.0)], lambda t: torch.remainder(t, 0.75))
case("x:maximum(y)", [given([nan, 1.0, inf, -inf]), given([1.0, nan, 2.0, 2.0])], torch.maximum, gradient=False)
case("x:minimum(0)", [given([-1.0, 0.0, 1.0])], lambda t: torch.minimum(t, torch.tensor(0.0)))
for name in ("gt", "ge", "lt", "le", "eq", "ne"):
    case(f"x:{name}(y)", [ints(0, 3, 3, 4), ints(0, 3, 4, seed=8)], lambda a, b, n=name: getattr(torch, n)(a, b))
    case(f"x:{name}(1)", [given([nan, 1.0, inf, 0.5])], lambda a, n=name: getattr(torch, n)(a, 1))
case("x & y", [bools(3, 4), bools(4, seed=7)], lambda a, b: a & b)
case("x | y", [bools(3, 4), bools(4, seed=7)], lambda a, b: a | b)
case("x ~ y", [bools(3, 4), bools(4, seed=7)], lambda a, b: a ^ b)
case("~x", [bools(3, 4)], lambda a: ~a)
case("x:masked_fill(y, -1.5)", [x(3, 4), bools(4)], lambda t, m: t.masked_fill(m, -1.5))

# Integers.
case("x + y", [ints(-9, 9, 3, 4), ints(-9, 9, 4, seed=8)], lambda a, b: a + b)
case("x * 3 - 1", [ints(-9, 9, 5)], lambda a: a * 3 - 1)
case("x / 4", [ints(-9, 9, 5)], lambda a: a / 4)
case("x // 4", [ints(-9, 9, 12)], lambda a: torch.div(a, 4, rounding_mode="floor"))
case("x % 4", [ints(-9, 9, 12)], lambda a: torch.remainder(a, 4))
case("x * 0.5", [ints(-9, 9, 5)], lambda a: a * 0.5)
case("x:sum(1)", [ints(-99, 99, 50, 3)], lambda a: a.sum(0))
case("x:sum()", [bools(4, 6)], lambda a: a.sum())
case("x:abs():max()", [ints(-9, 9, 6)], lambda a: a.abs().max())
case("x:cumsum()", [ints(-9, 9, 3, 4)], lambda a: a.cumsum(-1))
case("x:to('f32'):mean(2)", [ints(-9, 9, 3, 4)], lambda a: a.float().mean(1))
case("x:to('bool')", [given([0.0, 1.0, nan, -2.0])], lambda a: a.to(torch.bool))
case("x:round():to('i32')", [x(7, scale=9.0)], lambda a: a.round().to(torch.int64), gradient=False)

# Reductions.
flat_reductions = [
    ("sum", lambda t, d, k: t.sum(d, keepdim=k)), ("mean", lambda t, d, k: t.mean(d, keepdim=k)),
    ("logsumexp", lambda t, d, k: t.logsumexp(d, keepdim=k)), ("var", lambda t, d, k: t.var(d, keepdim=k)),
    ("std", lambda t, d, k: t.std(d, keepdim=k)),
]
for name, f in flat_reductions:
    case(f"x:{name}()", [x(3, 4)], lambda t, f=f: f(t, (0, 1), False))
    case(f"x:{name}(2)", [x(3, 4)], lambda t, f=f: f(t, 1, False))
    case(f"x:{name}(1, true)", [x(3, 4, 2)], lambda t, f=f: f(t, 0, True))
    case(f"x:{name}({{ 1, -1 }})", [x(2, 3, 4)], lambda t, f=f: f(t, (0, 2), False))
    case(f"x:permute(3, 1, 2):{name}(2)", [x(2, 3, 4)], lambda t, f=f: f(t.permute(2, 0, 1), 1, False))
case("x:sum(2)", [x(2, 0)], lambda t: t.sum(1))
case("x:sum()", [x(0)], lambda t: t.sum())
case("x:sum()", [x()], lambda t: t.sum())
case("x:mean()", [x()], lambda t: t.mean())
case("x:prod()", [x(2, 3)], lambda t: t.prod())
case("x:prod(2)", [given([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, 3.0]])], lambda t: t.prod(1))
case("x:prod(1, true)", [x(0, 2)], lambda t: t.prod(0, keepdim=True))
case("x:var(nil, false, 0)", [x(3, 4)], lambda t: t.var(correction=0))
case("x:std(1, false, 0)", [x(3, 4, shift=100.0)], lambda t: t.std(0, correction=0), tolerance=1e-4)
case("x:std(2)", [given([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]])], lambda t: t.std(1))
case("x:norm()", [x(3, 4)], lambda t: t.norm())
case("x:norm(2, 1)", [given([[0.0, 3.0], [0.0, 4.0]])], lambda t: t.norm(2, 0))
case("x:norm(1, 2, true)", [x(3, 4)], lambda t: t.norm(1, 1, keepdim=True))
case("x:norm(3, 2)", [x(3, 4, shift=2.0)], lambda t: t.norm(3, 1))
case("x:norm(math.huge, 2)", [x(3, 4)], lambda t: torch.linalg.vector_norm(t, inf, 1))
case("x:max(2)", [x(3, 5)], lambda t: (t.max(1).values, t.max(1).indices + 1))
case("x:min(1, true)", [x(3, 5)], lambda t: (t.min(0, keepdim=True).values, t.min(0, keepdim=True).indices + 1))
case("x:max()", [given([1.0, 3.0, 3.0, 2.0])], lambda t: t.amax())
case("x:max({ 1, 3 })", [x(2, 3, 4)], lambda t: t.amax((0, 2)))
case("x:max(1)", [given([1.0, nan, 3.0])], lambda t: (t.max(0).values, t.max(0).indices + 1), gradient=False)
case("x:argmax()", [x(3, 5)], lambda t: t.argmax() + 1)
case("x:argmin(2, true)", [x(3, 5)], lambda t: t.argmin(1, keepdim=True) + 1)
case("x:all(2)", [bools(4, 2)], lambda t: t.all(1))
case("x:any(1)", [bools(2, 6)], lambda t: t.any(0))
case("x:all()", [bools(0)], lambda t: t.all())
case("x:any()", [bools(0)], lambda t: t.any())
case("x:logsumexp()", [given([1000.0, 1000.0, -1000.0])], lambda t: t.logsumexp(0))
case("x:logsumexp(2)", [given([[-inf, -inf], [0.0, -inf], [inf, 0.0]])], lambda t: t.logsumexp(1), gradient=False)
case("x:sum()", [given([nan, 1.0])], lambda t: t.sum())
case("x:sum()", [given([inf, 1.0])], lambda t: t.sum())
case("x:mean(1)", [given([[inf, 1.0], [-inf, 2.0]])], lambda t: t.mean(0))
# Large ones: 32-bit sums that are added up one after another lose digits here.
case("x:sum()", [x(1000, 257, shift=1.0)], lambda t: t.sum(dtype=torch.float64).float(), tolerance=2e-6)
case("x:mean(1):slice(1, 1, 5)", [x(5000, 40, shift=3.0)], lambda t: t.mean(0)[:5], tolerance=2e-6)
case("x:var()", [x(300, 300, shift=10.0)], lambda t: t.double().var().float(), tolerance=2e-5)
case("x:logsumexp()", [x(200, 500, scale=5.0)], lambda t: t.double().logsumexp((0, 1)).float(), tolerance=2e-6)
case("x:cumsum(1)[{ -1, {} }]", [x(4000, 3, shift=0.5)], lambda t: t.double().cumsum(0)[-1].float(), tolerance=2e-6)

# Rows.
for name, f in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
    case(f"x:{name}()", [x(3, 5, scale=4.0)], lambda t, f=f: f(t, -1))
    case(f"x:{name}(1)", [x(3, 5, scale=4.0)], lambda t, f=f: f(t, 0))
    case(f"x:{name}(2)", [x(2, 3, 4)], lambda t, f=f: f(t, 1))
    case(f"x:{name}()", [given([[1000.0, 999.0], [-1000.0, 0.0]])], lambda t, f=f: f(t, -1))
    case(f"x:transpose():{name}()", [x(3, 5)], lambda t, f=f: f(t.t(), -1))
case("x:softmax()", [given([[0.0, -inf, 1.0]])], lambda t: t.softmax(-1))
case("x:cumsum(1)", [x(4, 3)], lambda t: t.cumsum(0))
case("x:cumsum(-1)", [x(2, 3, 4)], lambda t: t.cumsum(-1))
case("x:cumsum()", [x(0)], lambda t: t.cumsum(-1))

# Order.
case("x:sort()", [x(3, 7)], lambda t: (t.sort(-1).values, t.sort(-1).indices + 1))
case("x:sort(1, true)", [x(5, 3)], lambda t: (t.sort(0, descending=True).values, t.sort(0, descending=True).indices + 1))
case("x:sort()", [given([3.0, nan, 1.0, inf, -inf])], lambda t: (t.sort().values, t.sort().indices + 1), gradient=False)
case("x:topk(3)", [x(2, 8)], lambda t: (t.topk(3).values, t.topk(3).indices + 1))
case("x:topk(2, 1, false)", [x(6, 3)], lambda t: (t.topk(2, 0, largest=False).values, t.topk(2, 0, largest=False).indices + 1))
# More than sixteen times as many as are wanted.
case("x:topk(3)", [x(2, 120)], lambda t: (t.topk(3).values, t.topk(3).indices + 1))
case("x:topk(2, 1, false)", [x(200)], lambda t: (t.topk(2, 0, largest=False).values, t.topk(2, 0, largest=False).indices + 1))
case("x:topk(2)", [given([0.0] * 20 + [nan] + [1.0] * 30 + [nan])], lambda t: (t.topk(2).values, torch.tensor([21, 52])), gradient=False)
case("x:quantile(0.5)", [x(3, 5)], lambda t: t.quantile(0.5))
case("x:quantile(0.3, 2)", [x(3, 5)], lambda t: t.quantile(0.3, 1))
case("x:quantile({ 0, 0.25, 1 }, 1, true)", [x(4, 3)], lambda t: t.quantile(torch.tensor([0, 0.25, 1.0]), 0, keepdim=True))
case("x:quantile(0.5, 2)", [given([[1.0, nan, 2.0], [3.0, 1.0, 2.0]])], lambda t: t.quantile(0.5, 1), gradient=False)

# Products.
for a, b in [((3, 4), (4, 2)), ((1, 1), (1, 5)), ((2, 3, 4), (2, 4, 2)), ((2, 1, 3, 2), (3, 2, 3)), ((4,), (4, 3)),
             ((3, 4), (4,)), ((4,), (4,)), ((2, 3, 4), (4,)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((5,), (2, 5, 3))]:
    case("x:matmul(y)", [x(*a), x(*b, seed=2)], torch.matmul)
case("x:mm(y)", [x(3, 4), x(4, 5, seed=2)], torch.mm)
case("x:bmm(y)", [x(2, 3, 4), x(2, 4, 5, seed=2)], torch.bmm)
case("x:dot(y)", [x(6), x(6, seed=2)], torch.dot)
case("x:transpose():matmul(y:transpose())", [x(4, 3), x(2, 4, seed=2)], lambda a, b: a.t() @ b.t())
case("x:matmul(y):sum()", [x(60, 50), x(50, 70, seed=2)], lambda a, b: (a @ b).sum())
case("x:linear(y, z)", [x(3, 4), x(5, 4, seed=2), x(5, seed=3)], F.linear)
case("x:linear(y)", [x(2, 3, 4), x(5, 4, seed=2)], F.linear)
case("x:rms_norm(y, 1e-5)", [x(3, 6), x(6, seed=2)], lambda t, w: F.rms_norm(t, (6,), w, 1e-5))
case("x:swiglu(y)", [x(3, 4), x(3, 4, seed=2)], lambda a, b: F.silu(a) * b)
for equation, a, b in [("ij,jk->ik", (3, 4), (4, 2)), ("bqd,bkd->bqk", (2, 3, 4), (2, 5, 4)), ("i,j->ij", (3,), (4,)),
                       ("ij,ij->", (3, 4), (3, 4)), ("ij,ij->i", (3, 4), (3, 4)), ("ijk,k->ji", (2, 3, 4), (4,)),
                       ("...ij,...jk->...ik", (2, 3, 4), (4, 2)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 3, 4)),
                       ("ij,kl->ijkl", (2, 3), (2, 2)), ("ij,jk", (2, 3), (3, 2))]:
    case(f'mid.einsum("{equation}", x, y)', [x(*a), x(*b, seed=2)], lambda a, b, e=equation: torch.einsum(e, a, b))
case('mid.einsum("ii->i", x)', [x(4, 4)], lambda t: torch.einsum("ii->i", t))
case('mid.einsum("ii->", x)', [x(4, 4)], lambda t: torch.einsum("ii->", t))
case('mid.einsum("ijk->kj", x)', [x(2, 3, 4)], lambda t: torch.einsum("ijk->kj", t))
case('mid.einsum("ij,jk,kl->il", x, y, z)', [x(2, 3), x(3, 4, seed=2), x(4, 2, seed=3)],
     lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c))

# Shapes.
case("x:reshape(4, 3)", [x(2, 6)], lambda t: t.reshape(4, 3))
case("x:transpose():reshape { -1, 2 }", [x(4, 3)], lambda t: t.t().reshape(-1, 2))
case("x:flatten(2)", [x(2, 3, 2)], lambda t: t.flatten(1))
case("x:permute(3, 1, 2)", [x(2, 3, 2)], lambda t: t.permute(2, 0, 1))
case("x:transpose(1, 3)", [x(2, 3, 2)], lambda t: t.transpose(0, 2))
case("x:squeeze()", [x(1, 3, 1)], lambda t: t.squeeze())
case("x:squeeze(1)", [x(1, 3, 1)], lambda t: t.squeeze(0))
case("x:unsqueeze(2):expand(-1, 4, -1)", [x(2, 3)], lambda t: t.unsqueeze(1).expand(-1, 4, -1))
case("x:expand(3, 2)", [x()], lambda t: t.expand(3, 2))
case("x:expand(2, 3, 4):sum({ 1, 3 })", [x(3, 1)], lambda t: t.expand(2, 3, 4).sum((0, 2)))
case("x:tril()", [x(3, 4)], torch.tril)
case("x:triu(1)", [x(2, 3, 3)], lambda t: t.triu(1))
case("x:diagonal()", [x(2, 3, 3)], lambda t: t.diagonal(0, -2, -1))
case("x:flip(2)", [x(2, 3)], lambda t: t.flip(1))
case("mid.cat({ x, y }, 2)", [x(2, 3), x(2, 1, seed=2)], lambda a, b: torch.cat([a, b], 1))
case("mid.cat { x, y, x }", [x(1, 3), x(0, 3, seed=2)], lambda a, b: torch.cat([a, b, a]))
case("mid.stack({ x, y }, 3)", [x(2, 3), x(2, 3, seed=2)], lambda a, b: torch.stack([a, b], 2))
case("table.unpack(x:split(2, 2))", [x(2, 5)], lambda t: t.split(2, 1))
case("table.unpack(x:split { 1, 0, 3 })", [x(4, 2)], lambda t: t.split([1, 0, 3]))
case("table.unpack(x:chunk(3))", [x(6, 2)], lambda t: t.chunk(3))
case("table.unpack(x:unbind(2))", [x(2, 3)], lambda t: t.unbind(1))

# Parts.
case("x[2]", [x(3, 4)], lambda t: t[1])
case("x[-1]", [x(3)], lambda t: t[-1])
case("x[{ {}, 2 }]", [x(3, 4)], lambda t: t[:, 1])
case("x[{ { 2, 3 }, { 1, -2 } }]", [x(4, 4)], lambda t: t[1:3, 0:-1])
case("x[{ { 1, -1, 2 }, -1 }]", [x(5, 3)], lambda t: t[::2, -1])
case("x[{ {}, { 2, 7, 3 } }]", [x(2, 8)], lambda t: t[:, 1:7:3])
case("x[y]", [x(4, 3), given([4, 1, 1], "i32")], lambda t, i: t[i - 1])
case("x[{ {}, y }]", [x(2, 4), given([3, 1], "i32")], lambda t, i: t[:, i - 1])
case("x[y]", [x(3, 4), bools(3, 4)], lambda t, m: t[m])
case("x[y]", [x(4, 2), bools(4)], lambda t, m: t[m])
case("x:slice(2, 2, -2)", [x(2, 5)], lambda t: t[:, 1:-1])
case("x:slice(1, 3, 2)", [x(4, 2)], lambda t: t[2:2])
case("x:index_select(1, { 3, 1, 3 })", [x(3, 4)], lambda t: t.index_select(0, torch.tensor([2, 0, 2])))
case("x:index_select(-1, y)", [x(2, 3, 4), given([2, 2], "i32")], lambda t, i: t.index_select(-1, i - 1))
case("x:gather(2, y)", [x(3, 4), ints(1, 4, 3, 2)], lambda t, i: t.gather(1, i - 1))
case("x:gather(1, y)", [x(3, 2), ints(1, 3, 5, 2)], lambda t, i: t.gather(0, i - 1))
case("x:log_softmax():gather(-1, y)", [x(3, 4), ints(1, 4, 3)],
     lambda t, i: t.log_softmax(-1).gather(1, (i - 1).unsqueeze(1)).squeeze(1))
case("x:scatter_add(2, y, z)", [x(3, 4), ints(1, 4, 3, 2), x(3, 2, seed=3)], lambda t, i, s: t.scatter_add(1, i - 1, s))
case("x:scatter_add(1, y, z)", [x(3), ints(1, 3, 6), x(6, seed=3)], lambda t, i, s: t.scatter_add(0, i - 1, s))
case("x:gt(0):nonzero()", [x(3, 4)], lambda t: (t > 0).nonzero() + 1)
case("x:one_hot(4)", [ints(1, 4, 2, 3)], lambda i: F.one_hot(i - 1, 4).float())
case("(function() local t = x:detach():clone(); t[{ { 1, 2 }, 3 }] = 7; return t end)()", [x(3, 4)],
     lambda t: torch.cat([torch.cat([t[:2, :2], torch.full((2, 1), 7.0), t[:2, 3:]], 1), t[2:]]).detach())
case("(function() local t = x:detach():clone(); t[t:gt(0)] = y[1]; return t end)()", [x(3, 4), x(1, seed=2)],
     lambda t, y: torch.where(t > 0, y[0], t).detach())

# Longer ones, as people write them.
case("-(x:log_softmax():gather(-1, y)):mean()", [x(6, 9, scale=3.0), ints(1, 9, 6)],
     lambda t, i: F.cross_entropy(t, i - 1))
case("((x - y):exp():clamp(0.8, 1.2) * z):minimum((x - y):exp() * z):mean()", [x(5, 4), x(5, 4, seed=2), x(5, 1, seed=3)],
     lambda p, q, a: torch.minimum((p - q).exp().clamp(0.8, 1.2) * a, (p - q).exp() * a).mean())
case("(x:matmul(y:transpose()) / 2):masked_fill(mid.ones { 5, 5 }:triu(1):to('bool'), -math.huge):softmax():matmul(z)",
     [x(2, 5, 4), x(2, 5, 4, seed=2), x(2, 5, 4, seed=3)],
     lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))
case("(x - x:mean(-1, true)) / (x:var(-1, true, 0) + 1e-5):sqrt() * y + z", [x(3, 6), x(6, seed=2), x(6, seed=3)],
     lambda t, w, b: F.layer_norm(t, (6,), w, b, 1e-5))
case("(x:softmax() * (x:log_softmax() - y:log_softmax())):sum(-1):mean()", [x(4, 5, scale=2.0), x(4, 5, seed=2)],
     lambda p, q: F.kl_div(q.log_softmax(-1), p.log_softmax(-1), log_target=True, reduction="batchmean"))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json")
with open(path, "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(c, separators=(",", ":"), allow_nan=False) for c in cases) + "\n]\n")
print(len(cases), "cases,", os.path.getsize(path), "bytes, PyTorch", torch.__version__)
