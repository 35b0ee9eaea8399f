"""vocab.py: the sample model's tokenizer: sentencepiece's merging ("llama" in GGUF files) over a small vocabulary.

Pieces are single characters, and words or parts of words with or without the space before them. No piece mixes letters
with anything else, so a digit, a sign and a stop are always tokens of their own. What is no piece becomes bytes.
The scores are those of byte-pair merging over a text drawn from data.py, so that the highest score is the oldest merge.
"""
import collections
import random
import re

import data

UNKNOWN, BOS, EOS, SYSTEM, USER, ASSISTANT = range(6)
CONTROL = ["<unk>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
BLANK = "\u2581"
SIZE = 768
TEMPLATE = ("{{ bos_token }}{% for message in messages %}"
            "{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}")
CHUNKS = re.compile(f"{BLANK}?[A-Za-z]+|.", re.S)


def corpus_words(count):
    """How often each chunk of letters occurs. The square root keeps the words of the sums from taking everything."""
    r = random.Random(11)
    counts = collections.Counter()
    for _ in range(count):
        for text in data.example(r)[3]:
            counts.update(c for c in CHUNKS.findall(text.replace(" ", BLANK)) if len(c) > 1)
    return {word: n ** 0.5 for word, n in counts.items()}


def merges(words, wanted):
    split = {word: list(word) for word in words}
    made = []
    while len(made) < wanted:
        pairs = collections.Counter()
        for word, parts in split.items():
            for left, right in zip(parts, parts[1:]):
                pairs[left, right] += words[word]
        if not pairs:
            break
        left, right = max(pairs, key=lambda p: (pairs[p], p))
        made.append(left + right)
        for word, parts in split.items():
            i = 0
            while i < len(parts) - 1:
                if parts[i] == left and parts[i + 1] == right:
                    parts[i:i + 2] = [left + right]
                i += 1
    return made


class Vocab:
    def __init__(self):
        pieces = [chr(c) for c in range(33, 127)] + [BLANK]
        first = len(CONTROL) + 256 + len(pieces)
        made = list(dict.fromkeys(merges(corpus_words(40000), SIZE - first)))
        pieces += made
        self.texts = CONTROL + [f"<0x{b:02X}>" for b in range(256)] + pieces
        singles = len(pieces) - len(made)
        self.scores = [0.0] * (len(CONTROL) + 256) + [-1000.0 - i for i in range(singles)] + [-float(i)
                                                                                              for i in range(len(made))]
        self.types = [2] + [3] * (len(CONTROL) - 1) + [6] * 256 + [1] * len(pieces)
        self.ids = {text: len(CONTROL) + 256 + i for i, text in enumerate(pieces)}
        self.known = {}

    def merge(self, chunk):
        """The ids of one chunk: again and again the pair with the highest score, the leftmost of equals."""
        parts = list(chunk)
        while True:
            best = None
            for i in range(len(parts) - 1):
                id = self.ids.get(parts[i] + parts[i + 1])
                if id is not None and (best is None or self.scores[id] > best[0]):
                    best = self.scores[id], i
            if best is None:
                break
            parts[best[1]:best[1] + 2] = [parts[best[1]] + parts[best[1] + 1]]
        ids = []
        for part in parts:
            ids += [self.ids[part]] if part in self.ids else [len(CONTROL) + b for b in part.encode()]
        return ids

    def encode(self, text):
        ids = []
        for chunk in CHUNKS.findall(text.replace(" ", BLANK)):
            if chunk not in self.known:
                self.known[chunk] = self.merge(chunk)
            ids += self.known[chunk]
        return ids

    def decode(self, ids):
        out = b""
        for id in ids:
            if id >= len(CONTROL) + 256:
                out += self.texts[id].replace(BLANK, " ").encode()
            elif id >= len(CONTROL):
                out += bytes([id - len(CONTROL)])
        return out.decode("utf-8", "replace")

    def example(self, system, template, turns):
        """(ids, flags): flag 1 on each id that is part of an answer, with its end."""
        ids, flags = [BOS], [0]

        def add(more, flag):
            ids.extend(more)
            flags.extend([flag] * len(more))

        if system is not None:
            add([SYSTEM] + self.encode(system) + [EOS], 0)
        for i in range(0, len(turns), 2):
            add(([USER] if template else []) + self.encode(turns[i]) + ([EOS, ASSISTANT] if template else []), 0)
            add(self.encode(turns[i + 1]) + [EOS], 1)
        return ids, flags


if __name__ == "__main__":
    v = Vocab()
    r = random.Random(3)
    print(len(v.texts), v.texts[357:])
    n = m = longest = 0
    for _ in range(5000):
        _, system, template, turns = data.example(r)
        ids, flags = v.example(system, template, turns)
        assert all(v.decode(v.encode(t)) == t for t in turns)
        n, m, longest = n + len(ids), m + sum(flags), max(longest, len(ids))
    print(n / 5000, m / 5000, longest)
