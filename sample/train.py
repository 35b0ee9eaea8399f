#!/usr/bin/python3
"""train.py: trains the sample model from a seed, and writes it as GGUF (F16).

    sudo apt-get install python3-torch python3-numpy libopenblas0-pthread     (Debian 12; no GPU is used)
    python3 sample/train.py --out DIR

DIR/state.pt is written every two minutes; the same command goes on from there. DIR/log.csv has losses and accuracies.
"""
import argparse
import ctypes
import os
import random
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

import data
import gguf
from vocab import Vocab

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, EXPERTS, USED, FF = 4, 256, 8, 4, 32, 8, 2, 256
ROPE_BASE, EPS = 10000.0, 1e-5
LONGEST = 96  # tokens of an example
UNIT = 128  # the rows of an expert are filled up to a multiple of this
BALANCE, IGNORED = 0.01, -100
bf16 = torch.bfloat16


# ---- model -----------------------------------------------------------------------------------------

def load_ops(folder):
    """ops.c, compiled for this machine."""
    so = os.path.join(folder, "ops.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops.c")
    subprocess.run(["gcc", "-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC", "-o", so, source,
                    "-lm"], check=True)
    return ctypes.CDLL(so)


def call(name, *args):
    """Tensors are passed as their addresses, and must be whole and in order; numbers as they are; None as NULL."""
    c = []
    for a in args:
        if isinstance(a, torch.Tensor):
            assert a.is_contiguous()
            c.append(ctypes.c_void_p(a.data_ptr()))
        else:
            kind = ctypes.c_void_p if a is None else ctypes.c_float if isinstance(a, float) else ctypes.c_long
            c.append(kind(a))
    getattr(ops, name)(*c)


ops = None
PARTS = 8


class Block(torch.autograd.Function):
    """One layer. x: tokens x WIDTH, float; pick: the tokens that go on after the attention (last layer), or None."""

    @staticmethod
    def forward(ctx, x, norm1, qkv_w, o_w, norm2, router, gate_up, down, batch, pick):
        n, cos, sin, start = x.shape[0], batch.cos, batch.sin, batch.start
        h1, r1 = torch.empty(n, WIDTH, dtype=bf16), torch.empty(n)
        call("norm_forward", x, norm1, h1, r1, None, None, n)
        qkv = h1 @ qkv_w.t()
        o = torch.empty(n, WIDTH, dtype=bf16)
        call("attention_forward", qkv, start, len(start) - 1, cos, sin, o)
        if pick is not None:
            o = o[pick.long()]
            n = len(pick)
        x1 = torch.empty(n, WIDTH)
        call("add_rows", x, pick, o @ o_w.t(), x1, n)
        h2, r2, logits = torch.empty(n, WIDTH, dtype=bf16), torch.empty(n), torch.empty(n, EXPERTS)
        call("norm_forward", x1, norm2, h2, r2, router, logits, n)
        chosen, weight = torch.empty(n, 2, dtype=torch.int32), torch.empty(n, 2)
        ends, where = torch.empty(EXPERTS, dtype=torch.int32), torch.empty(n, 2, dtype=torch.int32)
        source = torch.empty(2 * n + EXPERTS * UNIT, dtype=torch.int32)
        call("choose", logits, n, UNIT, chosen, weight, ends, where, source)
        ends = ends.tolist()
        parts = [(e, a, b) for e, (a, b) in enumerate(zip([0] + ends, ends)) if a < b]
        rows = ends[-1]
        xs, h, act, y = (torch.empty(rows, w, dtype=bf16) for w in (WIDTH, 2 * FF, FF, WIDTH))
        call("gather", h2, source, rows, xs)
        for e, a, b in parts:
            h[a:b] = xs[a:b] @ gate_up[e].t()
        call("silu_forward", h, act, rows)
        for e, a, b in parts:
            y[a:b] = act[a:b] @ down[e].t()
        out = torch.empty(n, WIDTH)
        call("combine_forward", x1, y, where, weight, out, n)
        used = torch.bincount(chosen.view(-1), minlength=EXPERTS) / (2 * n)
        ctx.save_for_backward(x, norm1, qkv_w, o_w, norm2, router, gate_up, down, h1, r1, qkv, o, x1, h2, r2, logits,
                              chosen, weight,
                              where, source, xs, h, act, y, used)
        ctx.rest = batch, pick, parts, rows
        balance = EXPERTS * (used * logits.softmax(-1).mean(0)).sum()
        ctx.mark_non_differentiable(balance, chosen)
        return out, balance, chosen

    @staticmethod
    def backward(ctx, dout, _, __):
        (x, norm1, qkv_w, o_w, norm2, router, gate_up, down, h1, r1, qkv, o, x1, h2, r2, logits, chosen, weight,
         where, source, xs, h, act, y, used) = ctx.saved_tensors
        batch, pick, parts, rows = ctx.rest
        dout = dout.contiguous()
        n = len(dout)
        dy, dact, dh, dxs = (torch.empty_like(t) for t in (y, act, h, xs))
        dlogits = torch.empty_like(logits)
        call("combine_backward", dout, y, where, source, chosen, weight, logits, used, BALANCE, dy, dlogits, n, rows)
        d_down, d_gate_up = torch.zeros_like(down), torch.zeros_like(gate_up)
        for e, a, b in parts:
            d_down[e] = dy[a:b].t() @ act[a:b]
            dact[a:b] = dy[a:b] @ down[e]
        call("silu_backward", h, dact, dh, rows)
        for e, a, b in parts:
            d_gate_up[e] = dh[a:b].t() @ xs[a:b]
            dxs[a:b] = dh[a:b] @ gate_up[e]
        dh2 = torch.empty_like(h2)
        call("add_two", dxs, where, dh2, n)
        dx1, dnorm2, drouter = torch.empty_like(x1), torch.zeros(PARTS, WIDTH), torch.zeros(PARTS, EXPERTS, WIDTH)
        call("norm_backward", x1, norm2, r2, dh2, dout, dx1, dnorm2, router, dlogits, drouter, n, PARTS)
        dx1b = dx1.to(bf16)
        d_o = dx1b.t() @ o
        do = dx1b @ o_w
        if pick is not None:
            wide, wide_do = torch.zeros_like(x), torch.zeros(len(x), WIDTH, dtype=bf16)
            wide.index_add_(0, pick, dx1)
            wide_do.index_add_(0, pick, do)
            dx1, do = wide, wide_do
        dqkv = torch.empty_like(qkv)
        call("attention_backward", qkv, batch.start, len(batch.start) - 1, batch.cos, batch.sin, do, dqkv)
        d_qkv = dqkv.t() @ h1
        dh1 = dqkv @ qkv_w
        dnorm1 = torch.zeros(PARTS, WIDTH)
        call("norm_backward", x, norm1, r1, dh1, dx1, dx1, dnorm1, None, None, None, len(x), PARTS)
        return dx1, dnorm1.sum(0), d_qkv, d_o, dnorm2.sum(0), drouter.sum(0), d_gate_up, d_down, None, None


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()

        def matrix(*shape, std=WIDTH ** -0.5):
            return torch.nn.Parameter(torch.randn(*shape) * std)

        self.attn_norm = torch.nn.Parameter(torch.ones(WIDTH))
        # The two of a rotated pair are half a head apart here, and neighbours in the file.
        self.q, self.k, self.v = matrix(WIDTH, WIDTH), matrix(KV_HEADS * HEAD, WIDTH), matrix(KV_HEADS * HEAD, WIDTH)
        self.o = matrix(WIDTH, WIDTH, std=0.0)
        self.ffn_norm = torch.nn.Parameter(torch.ones(WIDTH))
        self.router = matrix(EXPERTS, WIDTH, std=0.02)
        self.gate, self.up = matrix(EXPERTS, FF, WIDTH), matrix(EXPERTS, FF, WIDTH)
        self.down = matrix(EXPERTS, WIDTH, FF, std=0.0)

    def forward(self, x, batch, pick):
        return Block.apply(x, self.attn_norm, torch.cat([self.q, self.k, self.v]).to(bf16), self.o.to(bf16),
                           self.ffn_norm, self.router,
                           torch.cat([self.gate, self.up], 1).to(bf16), self.down.to(bf16), batch, pick)


class Model(torch.nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.embed = torch.nn.Parameter(torch.randn(vocab, WIDTH) * 0.5)
        self.layers = torch.nn.ModuleList(Layer() for _ in range(LAYERS))
        self.out_norm = torch.nn.Parameter(torch.ones(WIDTH))
        self.head = torch.nn.Parameter(torch.randn(vocab, WIDTH) * 0.02)

    def forward(self, batch):
        """Logits of the positions batch.pick; mean balance loss; the experts chosen, layer by layer."""
        x = F.embedding(batch.ids, self.embed)
        balance, chosen = 0, []
        for i, layer in enumerate(self.layers):
            x, b, c = layer(x, batch, batch.pick if i == LAYERS - 1 else None)
            balance, chosen = balance + b / LAYERS, chosen + [c]
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * self.out_norm
        return F.linear(x.to(bf16), self.head.to(bf16)).float(), balance, chosen


# ---- optimizer -------------------------------------------------------------------------------------

class Optimizer:
    """Muon for the matrices (momentum made orthogonal by Newton-Schulz steps), Adam for the rest."""

    def __init__(self, model):
        others = ("embed", "head", "router")
        self.matrices = [p for n, p in model.named_parameters() if p.dim() >= 2 and n.split(".")[-1] not in others]
        ids = {id(p) for p in self.matrices}
        self.rest = [p for p in model.parameters() if id(p) not in ids]
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.Adam(self.rest, betas=(0.9, 0.98), eps=1e-10)

    @staticmethod
    def orthogonal(g):
        x = g.to(bf16)
        tall = x.shape[-2] > x.shape[-1]
        x = x.transpose(-1, -2).contiguous() if tall else x
        x = x / (x.float().norm(dim=(-2, -1), keepdim=True) + 1e-7).to(bf16)
        for a, b, c in [(4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037),
                        (2.8769, -3.1427, 1.2046)]:
            s = x @ x.transpose(-1, -2)
            x = a * x + (b * s + c * (s @ s)) @ x
        return (x.transpose(-1, -2) if tall else x).float()

    @torch.no_grad()
    def step(self, lr, lr_rest, decay):
        small = {}
        for p, m in zip(self.matrices, self.momentum):
            m.lerp_(p.grad, 0.05)
            small.setdefault(p.shape[-2:], []).append((p, p.grad.lerp(m, 0.95)))
        for shape, group in small.items():
            u = self.orthogonal(torch.cat([g.view(-1, *shape) for _, g in group]))
            at = 0
            for p, g in group:
                n = g.numel() // (shape[0] * shape[1])
                p.mul_(1 - lr * decay).add_(u[at:at + n].reshape(p.shape), alpha=-lr * max(1,
                                                                                           shape[0] / shape[1]) ** 0.5)
                at += n
        for g in self.adam.param_groups:
            g["lr"] = lr_rest
        self.adam.step()

    def state(self):
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load(self, s):
        self.momentum = s["momentum"]
        self.adam.load_state_dict(s["adam"])


# ---- batches ---------------------------------------------------------------------------------------

class Batch:
    """Examples one after the other: ids, the bounds of the examples, the positions whose next id is part of an answer,
    and those ids (IGNORED where filled up). Counts are filled up so that products have few shapes."""

    def __init__(self, examples, tokens):
        ids, start, pick, want = [], [0], [], []
        for e_ids, flags in examples:
            for i in range(1, len(e_ids)):
                if flags[i]:
                    pick.append(len(ids) + i - 1)
                    want.append(e_ids[i])
            ids += e_ids
            start.append(len(ids))
        while len(ids) < tokens:
            ids += [0] * min(LONGEST, tokens - len(ids))
            start.append(len(ids))
        fill = -len(pick) % 256
        self.ids = torch.tensor(ids)
        self.start = torch.tensor(start, dtype=torch.int32)
        self.pick = torch.tensor(pick + [len(ids) - 1] * fill, dtype=torch.int32)
        self.want = torch.tensor(want + [IGNORED] * fill)
        angle = torch.arange(LONGEST)[:, None] * ROPE_BASE ** (-torch.arange(0, HEAD, 2) / HEAD)[None]
        self.cos, self.sin = angle.cos(), angle.sin()


def draw(vocab, seed, step, tokens):
    r = random.Random(seed * 1000003 + step)
    examples, n = [], 0
    while True:
        _, system, template, turns = data.example(r)
        e = vocab.example(system, template, turns)
        if len(e[0]) > LONGEST:
            continue
        if n + len(e[0]) > tokens:
            return Batch(examples, tokens), len(examples)
        examples.append(e)
        n += len(e[0])


@torch.no_grad()
def exact(model, examples):
    """For each example, whether each token of its answers is the likeliest: just then greedy decoding gives them."""
    out = []
    for at in range(0, len(examples), 200):
        part = examples[at:at + 200]
        b = Batch(part, sum(len(e[0]) for e in part))
        bad = (model(b)[0].argmax(-1) != b.want) & (b.want != IGNORED)
        wrong = set(torch.bucketize(b.pick, b.start[1:], right=True)[bad].tolist())
        out += [i not in wrong for i in range(len(part))]
    return out


def accuracy(model, vocab, asked):
    """Shares of the sums and of the differences that are right."""
    right = {}
    es = [vocab.example(None, how == "chat", [q, a]) for how, _, q, a in asked]
    for (_, kind, _, _), ok in zip(asked, exact(model, es)):
        right.setdefault(kind, []).append(ok)
    return {k: sum(v) / len(v) for k, v in right.items()}


def rate_at(rates, step):
    (a, from_), (b, to) = next((p, q) for p, q in zip(rates, rates[1:]) if p[0] <= step < q[0])
    return from_ + (to - from_) * (step - a) / (b - a)


def main():
    ap = argparse.ArgumentParser(description="Trains the sample model.")
    ap.add_argument("--out", required=True)
    ap.add_argument("--rates", default="0:0.01,99:1,600:1,2647:0.48825,3600:0",
                    help="step:share of the rates, straight lines between")
    ap.add_argument("--tokens", type=int, default=9216, help="tokens a step")
    ap.add_argument("--lr", type=float, default=0.02)
    ap.add_argument("--lr-rest", type=float, default=0.004)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--every", type=int, default=100)
    o = ap.parse_args()
    rates = [(int(step), float(rate)) for step, rate in (point.split(":") for point in o.rates.split(","))]
    steps = rates[-1][0]
    os.makedirs(o.out, exist_ok=True)
    global ops
    ops = load_ops(o.out)
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    vocab = Vocab()
    model = Model(len(vocab.texts))
    opt = Optimizer(model)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    first, spent, path = 0, 0.0, os.path.join(o.out, "state.pt")
    if os.path.exists(path):
        s = torch.load(path)
        model.load_state_dict(s["model"])
        opt.load(s["opt"])
        first, spent = s["step"], s["spent"]
        print(f"going on from step {first}", flush=True)
    asked = data.questions(77, 400)
    log = open(os.path.join(o.out, "log.csv"), "a")
    if first == 0:
        log.write("step,seconds,loss,balance,sum,difference\n")
    losses, seen, start, saved = [], 0, time.time(), time.time()

    def save(step):
        torch.save({"model": model.state_dict(), "opt": opt.state(), "step": step,
                    "spent": spent + time.time() - start}, path + ".new")
        os.replace(path + ".new", path)

    for step in range(first, steps):
        batch, n = draw(vocab, o.seed, step, o.tokens)
        logits, balance, _ = model(batch)
        loss = F.cross_entropy(logits, batch.want, ignore_index=IGNORED)
        model.zero_grad(set_to_none=True)
        loss.backward()
        rate = rate_at(rates, step)
        opt.step(o.lr * rate, o.lr_rest * rate, 0.1)
        losses.append(loss.item())
        seen += n
        if (step + 1) % o.every == 0 or step + 1 == steps:
            acc = accuracy(model, vocab, asked)
            t = spent + time.time() - start
            line = (f"{step + 1},{t:.0f},{sum(losses) / len(losses):.5f},{balance.item():.3f},"
                    f"{acc['sum']:.4f},{acc['difference']:.4f}")
            log.write(line + "\n")
            log.flush()
            print(line, f"{seen / (time.time() - start):.0f} examples/s", flush=True)
            losses = []
        if time.time() - saved > 120:
            save(step + 1)
            saved = time.time()
    save(steps)
    gguf.write_model(os.path.join(o.out, "sample-f16.gguf"), model, vocab, sys.modules[__name__])


if __name__ == "__main__":
    main()
