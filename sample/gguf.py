"""gguf.py: writes the trained model as a GGUF file: matrices in F16, vectors and the routers in F32."""
import struct

import numpy as np

import vocab as v

ALIGNMENT = 32
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TYPE_F32, TYPE_F16 = 0, 1
NAME = "leat sample"
DESCRIPTION = ("A small mixture of experts that adds, subtracts, spells, counts and answers questions about leat. "
               "Trained from a seed on generated text; see docs/SAMPLE.md.")


def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(kind, x):
    if kind == STRING:
        return string(x)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], x)


def key(name, kind, x, of=None):
    head = string(name) + struct.pack("<I", kind)
    if kind != ARRAY:
        return head + value(kind, x)
    return head + struct.pack("<IQ", of, len(x)) + b"".join(value(of, i) for i in x)


def neighbours(w, head):
    """The rows of a query or key matrix: the two of a rotated pair, half a head apart in training, side by side."""
    return w.reshape(-1, 2, head // 2, w.shape[-1]).transpose(0, 2, 1, 3).reshape(w.shape)


def write_model(path, model, vocab, c):
    """c: the module with the sizes (train.py)."""
    keys = [
        key("general.architecture", STRING, "llama"), key("general.name", STRING, NAME),
        key("general.description", STRING, DESCRIPTION), key("general.license", STRING, "mit"),
        key("general.languages", ARRAY, ["en"], STRING), key("general.file_type", U32, 1),
        key("llama.block_count", U32, c.LAYERS), key("llama.context_length", U32, 131072),
        key("llama.embedding_length", U32, c.WIDTH), key("llama.feed_forward_length", U32, c.FF),
        key("llama.attention.head_count", U32, c.HEADS), key("llama.attention.head_count_kv", U32, c.KV_HEADS),
        key("llama.attention.layer_norm_rms_epsilon", F32, c.EPS), key("llama.rope.dimension_count", U32, c.HEAD),
        key("llama.rope.freq_base", F32, c.ROPE_BASE), key("llama.expert_count", U32, c.EXPERTS),
        key("llama.expert_used_count", U32, c.USED), key("llama.vocab_size", U32, len(vocab.texts)),
        key("tokenizer.ggml.model", STRING, "llama"), key("tokenizer.ggml.pre", STRING, "default"),
        key("tokenizer.ggml.tokens", ARRAY, vocab.texts, STRING), key("tokenizer.ggml.scores", ARRAY, vocab.scores,
                                                                      F32),
        key("tokenizer.ggml.token_type", ARRAY, vocab.types, I32), key("tokenizer.ggml.unknown_token_id", U32,
                                                                       v.UNKNOWN),
        key("tokenizer.ggml.bos_token_id", U32, v.BOS), key("tokenizer.ggml.eos_token_id", U32, v.EOS),
        key("tokenizer.ggml.add_bos_token", BOOL, True), key("tokenizer.ggml.add_eos_token", BOOL, False),
        key("tokenizer.ggml.add_space_prefix", BOOL, False), key("tokenizer.chat_template", STRING, v.TEMPLATE),
    ]
    p = {name: t.detach().numpy() for name, t in model.state_dict().items()}
    tensors = [("token_embd.weight", p["embed"]), ("output_norm.weight", p["out_norm"]), ("output.weight", p["head"])]
    for i in range(c.LAYERS):
        def t(name):
            return p[f"layers.{i}.{name}"]

        for name, w in [("attn_norm", t("attn_norm")), ("attn_q", neighbours(t("q"), c.HEAD)),
                        ("attn_k", neighbours(t("k"), c.HEAD)),
                        ("attn_v", t("v")), ("attn_output", t("o")), ("ffn_norm", t("ffn_norm")), ("ffn_gate_inp",
                                                                                                   t("router")),
                        ("ffn_gate_exps", t("gate")), ("ffn_up_exps", t("up")), ("ffn_down_exps", t("down"))]:
            tensors.append((f"blk.{i}.{name}.weight", w))
    infos, data = b"", b""
    for name, w in tensors:
        kind = TYPE_F32 if w.ndim == 1 or "ffn_gate_inp" in name else TYPE_F16
        infos += string(name) + struct.pack("<I", w.ndim) + struct.pack(f"<{w.ndim}Q",
                                                                        *w.shape[::-1]) + struct.pack("<IQ", kind,
                                                                                                      len(data))
        raw = np.ascontiguousarray(w, dtype=np.float32 if kind == TYPE_F32 else np.float16).tobytes()
        data += raw + bytes(-len(raw) % ALIGNMENT)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + infos
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % ALIGNMENT) + data)
