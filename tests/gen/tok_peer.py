#!/usr/bin/env python3
"""Takes the reference tokens of tests/unit/test_tok.c again from a live libllama.

    build/test tok_writes_vocabularies                               # leaves build/test-files/tok-*.gguf
    python3 tests/gen/tok_peer.py LIBDIR build/test-files > tests/data/tok/peer.txt

LIBDIR has libllama and the libggml libraries as the npm package @node-llama-cpp/linux-x64 ships them (those committed:
llama.cpp release v0.5.0). A line of the output is a vocabulary, the pre-tokenizers for which it gives the same, and a hash
per record of tests/data/tok/inputs.txt and more.txt: FNV-1a over what `signature` below puts together.
With `--ids VOCAB PRE RECORD` behind the two folders it shows the ids of one record instead.
"""
import ctypes as C
import glob
import os
import re
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UTF8_PRES = ["gemma4", "granite-embed-multi-311m", "sarvam-moe"]


class ModelParams(C.Structure):
    _fields_ = [("devices", C.c_void_p), ("buft_overrides", C.c_void_p), ("n_gpu_layers", C.c_int32),
                ("split_mode", C.c_int), ("load_mode", C.c_int), ("lazy_mode", C.c_int), ("main_gpu", C.c_int32),
                ("tensor_split", C.c_void_p), ("progress", C.c_void_p), ("progress_data", C.c_void_p),
                ("kv_overrides", C.c_void_p)] + [(n, C.c_bool) for n in (
                    "vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp")]


class Value(C.Union):
    _fields_ = [("i", C.c_int64), ("f", C.c_double), ("b", C.c_bool), ("s", C.c_char * 128)]


class Override(C.Structure):
    _fields_ = [("tag", C.c_int), ("key", C.c_char * 128), ("value", Value)]


def load(folder):
    for name in ("libggml-base.so*", "libggml.*", "libllama.*"):
        lib = C.CDLL(sorted(glob.glob(os.path.join(folder, name)))[0], mode=C.RTLD_GLOBAL)
    lib.llama_model_default_params.restype = ModelParams
    lib.llama_model_load_from_file.argtypes = [C.c_char_p, ModelParams]
    lib.llama_model_load_from_file.restype = C.c_void_p
    lib.llama_model_get_vocab.argtypes = [C.c_void_p]
    lib.llama_model_get_vocab.restype = C.c_void_p
    lib.llama_model_free.argtypes = [C.c_void_p]
    lib.llama_tokenize.argtypes = [C.c_void_p, C.c_char_p, C.c_int32, C.c_void_p, C.c_int32, C.c_bool, C.c_bool]
    lib.llama_detokenize.argtypes = [C.c_void_p, C.c_void_p, C.c_int32, C.c_char_p, C.c_int32, C.c_bool, C.c_bool]
    return lib


class Vocab:
    def __init__(self, lib, path, pre):
        params = lib.llama_model_default_params()
        params.vocab_only = True
        overrides = (Override * 2)()
        if pre:
            overrides[0] = Override(3, b"tokenizer.ggml.pre", Value(s=pre.encode()))
            params.kv_overrides = C.cast(overrides, C.c_void_p)
        self.lib, self.model = lib, lib.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            sys.exit(f"{path} does not load")
        self.vocab = lib.llama_model_get_vocab(self.model)

    def encode(self, text, around, special):
        ids = (C.c_int32 * (4 * len(text) + 16))()
        n = self.lib.llama_tokenize(self.vocab, text, len(text), ids, len(ids), around, special)
        return list(ids[:n])

    def decode(self, ids, special):
        text = C.create_string_buffer(1 << 16)
        n = self.lib.llama_detokenize(self.vocab, (C.c_int32 * len(ids))(*ids), len(ids), text, 1 << 16, False, special)
        return text.raw[:n]

    def close(self):
        self.lib.llama_model_free(self.model)


def signature(vocab, name, text):
    plain = vocab.encode(text, False, False)
    out = b"".join(struct.pack("<i", i) for i in plain + [-1] + vocab.encode(text, True, True) + [-1])
    if name == "bpe-words":  # llama.cpp spells its tokens as [UNK_BYTE_0x...]; leat writes them as they are
        return out
    return out + vocab.decode(plain, False) + b"\xff" + vocab.decode(plain, True)


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return h


def main():
    lib, folder = load(sys.argv[1]), sys.argv[2]
    silent = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)(lambda *_: None)
    if "--log" not in sys.argv:
        lib.llama_log_set(silent, None)
    lib.llama_backend_init()
    records = []
    for name in ("inputs.txt", "more.txt"):
        with open(os.path.join(ROOT, "tests/data/tok", name), "rb") as f:
            records += f.read().split(b"\n__ggml_vocab_test__\n")
    if "--ids" in sys.argv:
        name, pre, record = sys.argv[sys.argv.index("--ids") + 1:][:3]
        vocab = Vocab(lib, f"{folder}/tok-{name}.gguf", None if pre == "-" else pre)
        text = records[int(record)]
        print(text, vocab.encode(text, False, False), vocab.encode(text, True, True), sep="\n")
        return
    with open(os.path.join(ROOT, "src/tok/tok_pre_tables.c")) as f:
        pres = re.findall(r'^    \{"([^"]+)", ', f.read(), re.M)
    cases = {}
    for name in ("bpe", "bpe-special", "bpe-utf8", "bpe-words", "spm", "spm-bare", "spm-phi3", "wpm", "wpm-cased"):
        own = [p for p in pres if p not in UTF8_PRES and p != "whitespace"] if name == "bpe" else \
            UTF8_PRES if name == "bpe-utf8" else ["-"]
        for pre in own:
            vocab = Vocab(lib, f"{folder}/tok-{name}.gguf", None if pre == "-" else pre)
            hashes = " ".join("%08x" % fnv(signature(vocab, name, r)) for r in records)
            cases.setdefault((name, hashes), []).append(pre)
            vocab.close()
    for (name, hashes), pres_of in cases.items():
        print(name, ",".join(pres_of), hashes)


main()
