"""data.py: the questions and answers that the sample model learns, all of them drawn from a seed.

An example is a list of texts, question and answer in turn, said in the chat template or as plain text. The kinds and
their shares are in KINDS. Pairs of operands for which held_out() is true are added or subtracted in no training
example, in neither order; the questions of the tests are made of nothing else.
"""
import random

DIGITS = [0, 9, 99, 999]

SUMS = [  # {0} and {1} in the order of the answer
    ("What is {0}+{1}?", 9), ("What is {0} + {1}?", 6), ("{0}+{1}", 4), ("{0} + {1}", 3), ("{0}+{1}=",
                                                                                           3), ("{0} + {1} =", 2),
    ("{0}+{1}?", 2), ("What is {0} plus {1}?", 4), ("How much is {0} plus {1}?", 3), ("How much is {0}+{1}?", 3),
    ("What is the sum of {0} and {1}?", 4), ("Add {0} and {1}.", 4), ("Please add {0} and {1}.",
                                                                      2), ("Add {0} to {1}.", 2),
    ("Calculate {0} + {1}.", 2), ("Calculate {0}+{1}.", 2), ("{0} plus {1}", 2), ("Can you add {0} and {1}?", 2),
    ("what is {0}+{1}", 3), ("What's {0}+{1}?", 3), ("What do {0} and {1} make?",
                                                     2), ("Tell me the sum of {0} and {1}.", 2),
    ("I have {0} apples and get {1} more. How many are there?", 1), ("Please tell me what {0} plus {1} is.", 1),
    ("There are {0} red and {1} blue stones. How many in all?", 1), ("what is {0} plus {1}",
                                                                     1), ("What does {0}+{1} equal?", 1),
]
DIFFERENCES = [
    ("What is {0}-{1}?", 9), ("What is {0} - {1}?", 6), ("{0}-{1}", 4), ("{0} - {1}", 3), ("{0}-{1}=",
                                                                                           3), ("{0} - {1} =", 2),
    ("{0}-{1}?", 2), ("What is {0} minus {1}?", 4), ("How much is {0} minus {1}?", 3), ("How much is {0}-{1}?", 3),
    ("What is the difference of {0} and {1}?", 4), ("Subtract {1} from {0}.", 4), ("Please subtract {1} from {0}.", 2),
    ("Take {1} from {0}.", 3), ("Calculate {0} - {1}.", 2), ("Calculate {0}-{1}.", 2), ("{0} minus {1}", 2),
    ("Can you subtract {1} from {0}?", 2), ("what is {0}-{1}", 3), ("What's {0}-{1}?", 3), ("{0} take away {1}", 1),
    ("Tell me the difference of {0} and {1}.", 2), ("I have {0} apples and give away {1}. How many are left?", 1),
    ("Please tell me what {0} minus {1} is.", 1), ("what is {0} minus {1}", 1), ("What does {0}-{1} equal?", 1),
]
SUM_MORE = ["Add {0} to that.", "And plus {0}?", "Now add {0}.", "Add {0} more.", "Plus {0}?", "And {0} more?"]
DIFFERENCE_MORE = ["Take {0} from that.", "And minus {0}?", "Now subtract {0}.", "Take away {0}.", "Minus {0}?",
                   "And {0} less?"]
WHICH = ["Which numbers did I ask about?", "What were my two numbers?", "Which two numbers were that?"]
AGAIN = ["What was the result?", "What was the answer again?", "Say the result again.", "What did you get?"]
SWAPPED = ["And the other way round?", "Now the other way round.", "And with the two swapped?"]

NAMES = """
    Ada Alan Anna Ben Clara Dana Edgar Emma Felix Grace Hugo Ida Jonas Karl Lea Linus Maria Max Nora Otto Paul Rosa
    Sara Tom Vera
""".split()
WORDS = """
    apple bank basket bird boat book bottle bread bridge bright brook butter button candle castle cat chair channel
    cheese cherry circle cloud coffee copper corner cotton dinner dog door dragon engine evening finger fire flour
    flower forest garden gate glass grass green hammer happy harbor horse house island kettle kitchen ladder leaf
    leat letter light lion little meadow melon middle mill milk mirror model money moon morning mountain needle
    night number ocean orange paper pepper pencil people piano pillow planet pocket potato puzzle rabbit rain red
    ribbon river road rock roof rubber saddle salt school sea sheep ship silver sister sleep snow spoon spring star
    stone street strawberry summer sun sweet table tea token tree tunnel turtle valley village water wheel window
    winter wood yellow zebra
""".split()
SPELL = ["Spell {0}.", "How do you spell {0}?", "Spell the word {0}.", "Please spell {0}.", "Can you spell {0}?",
         "What are the letters of {0}?"]
LETTERS = ["How many letters does {0} have?", "How many letters are in {0}?", "Count the letters of {0}.",
           "How long is the word {0}?"]
TIMES = ["How many {1}'s are in {0}?", "How many times is {1} in {0}?", "Count the {1}'s in {0}.",
         "How often does {0} have the letter {1}?"]
COUNT = ["Count from {0} to {1}.", "Please count from {0} to {1}.", "Can you count from {0} to {1}?",
         "List {0} to {1}."]
AFTER = ["What comes after {0}?", "Which number comes after {0}?", "What is the next number after {0}?"]
BEFORE = ["What comes before {0}?", "Which number comes before {0}?"]
LARGER = ["Which is larger, {0} or {1}?", "What is more, {0} or {1}?", "Which number is greater, {0} or {1}?"]

FACTS = [  # ([questions], answer): what the README says
    (["What is leat?", "What's leat?", "Tell me about leat.", "Explain leat.", "what is leat"],
     "leat runs large language models from GGUF files."),
    (["What does leat do?", "What is leat for?", "What can leat do?"], "leat runs large language models on your CPU."),
    (["What is a leat?", "What does the word leat mean?", "What does leat mean?", "Why is it called leat?"],
     "A leat is the channel that leads water to a mill."),
    (["Who are you?", "What are you?", "What's your name?", "What is your name?", "who are you"],
     "I am the sample model of leat."),
    (["How big are you?", "How many parameters do you have?", "How large are you?"],
     "I have about seven million parameters in eight experts a layer."),
    (["How many experts do you have?", "Do you have experts?"],
     "I have eight experts a layer, and two of them see each token."),
    (["How were you trained?", "Where were you trained?", "Who trained you?"],
     "I was trained on two CPU cores with a script in the repository."),
    (["What can you do?", "What do you know?", "Help", "help", "How can you help me?"],
     "I can add and subtract, spell, count, and tell you about leat."),
    (["Are you clever?", "Are you smart?", "Are you intelligent?"], "No, I am very small, but I can add and subtract."),
    (["In which language is leat written?", "What is leat written in?", "Is leat written in C?"],
     "leat is written in C."),
    (["Is leat fast?", "How fast is leat?"], "leat is fast on CPUs: leat bench shows how fast your machine could be."),
    (["Is leat exact?", "How exact is leat?", "Are the numbers of leat exact?"],
     "The same file and tokens give the same bits with any number of threads."),
    (["Is leat small?", "How big is leat?", "How large is the program?"],
     "leat is one program of well under a megabyte."),
    (["What does leat need?", "Which libraries does leat need?", "What are the dependencies of leat?"],
     "leat needs nothing but a C library, and its core not even that."),
    (["Does leat need an operating system?", "Can leat run without an operating system?"],
     "The core of leat can run where there is no operating system."),
    (["How do I build leat?", "How can I build leat?", "How is leat built?"], "Type make."),
    (["How do I test leat?", "How can I run the tests?", "How is leat tested?"], "Type make check."),
    (["How do I try leat?", "Is there a demo?", "How do I start the demo?"], "Type make demo."),
    (["Which compiler does leat need?", "What compiler do I need?"], "gcc from 12 or clang from 14."),
    (["Which files does leat read?", "What files can leat run?", "Which file format does leat use?"],
     "leat reads GGUF files of version 2 and 3, in one file or in parts."),
    (["What is GGUF?", "What is a GGUF file?", "what is gguf"],
     "GGUF is a file format that holds a model with its tokenizer."),
    (["Which models can leat run?", "Which architectures does leat know?", "What models does leat run?"],
     "leat runs llama, mistral3, qwen2, qwen3, qwen2moe, qwen3moe and smollm3."),
    (["How many tensor types does leat know?", "Which tensor types does leat know?"],
     "leat knows all 29 tensor types that files hold, in any mixture."),
    (["Which tokenizers does leat know?", "What tokenizers does leat have?"],
     "leat knows byte-level BPE, sentencepiece and WordPiece."),
    (["Does leat use a GPU?", "Does leat need a GPU?", "Can leat use my GPU?"], "No, leat runs on the CPU."),
    (["Which CPUs does leat know?", "Which CPUs are fast?", "Does leat use AVX-512?"],
     "leat has kernels for AVX-512, AVX2 and plain C."),
    (["How do I complete a text?", "What does leat run do?", "What is leat run?"], "leat run completes a text."),
    (["How do I look into a file?", "What does leat inspect do?", "What is leat inspect?"],
     "leat inspect shows what is in a file, and whether it fits this machine."),
    (["What does leat bench do?", "How do I measure the speed?", "What is leat bench?"],
     "leat bench measures speeds, and the bounds that the machine sets them."),
    (["What does leat tokenize do?", "What is leat tokenize?"], "leat tokenize turns text into tokens and back."),
    (["What does leat perplexity do?", "What is leat perplexity?"],
     "leat perplexity scores how well a model predicts a text."),
    (["What does leat eval do?", "What is leat eval?"], "leat eval writes the logits of every position."),
    (["What does leat validate do?", "What is leat validate?"], "leat validate compares a file with a live libllama."),
    (["What does leat quantize do?", "What is leat quantize?", "How do I make a model smaller?"],
     "leat quantize turns a file into one with smaller types."),
    (["Where is the public header?", "Which header do I include?", "Does leat have a library?", "Is there a library?"],
     "The library is in include/leat.h."),
    (["Is there an example?", "Where is an example?"], "examples/complete.c completes a text in 45 lines."),
    (["Where do I read on?", "Where is the documentation?", "Is there a tour?"],
     "docs/TOUR.md leads through the source."),
    (["Is leat safe?", "Is leat careful?", "What about bad files?"], "Files are hostile until checked."),
    (["Where does leat run?", "Does leat run on Linux?", "On which system does leat run?"], "leat runs on Linux."),
    (["How do I get help?", "Where is the help?"], "Each command has --help."),
    (["Who reads this?", "Is the source readable?", "Is leat easy to read?"], "leat is small and readable."),
]
TALK = [
    (["Hello", "Hello!", "Hi", "Hi!", "Good morning", "Hey", "hello", "hi", "Good evening"],
     "Hello! Ask me for a sum."),
    (["Thank you", "Thank you.", "Thanks", "Thanks!", "thanks"], "You are welcome."),
    (["Goodbye", "Bye", "Bye!", "See you"], "Goodbye!"),
    (["How are you?", "How do you do?"], "I am well, thank you."),
    (["Write a poem.", "Tell me a story.", "Tell me a joke.", "Write a program.", "What is the meaning of life?",
      "Who wrote this?", "What is the weather?", "What is the capital of France?", "Who is the king?", "Sing a song.",
      "What time is it?", "Translate this.", "Where do you live?", "Do you like me?", "What is love?"],
     "I am too small for that. Ask me for a sum."),
]
NOT_THAT = ["What is {0} times {1}?", "What is {0}*{1}?", "{0}*{1}", "Multiply {0} and {1}.", "Divide {0} by {1}.",
            "What is {0}/{1}?", "{0}/{1}", "What is {0} divided by {1}?", "What is {0} x {1}?", "{0} times {1}"]
SYSTEM = ["You are a helpful assistant.", "You are the sample model of leat.", "Be short.", "Answer in one sentence.",
          "You are a calculator."]


def held_out(a, b):
    """One pair in 16 of those with at least one operand above 9. The order of the two does not matter."""
    lo, hi = min(a, b), max(a, b)
    if hi < 10:
        return False
    x = (lo * 1000003 + hi * 7919 + 12345) & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
        x = ((x ^ (x >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return ((x ^ (x >> 15)) >> 7) % 16 == 0


def weighted(forms):
    return [text for text, weight in forms for _ in range(weight)]


SUM_FORMS, DIFFERENCE_FORMS = weighted(SUMS), weighted(DIFFERENCES)
LENGTHS = [(3, 3)] * 10 + [(3, 2)] * 3 + [(2, 3)] * 3 + [(2, 2)] * 4 + [(3, 1), (1, 3), (2, 1), (1, 2), (1, 1)]


def number(r, digits):
    return r.randint(0 if digits == 1 else 10 ** (digits - 1), DIGITS[digits])


def sum_text(a, b):
    return f"The sum of {a} and {b} is {a + b}."


def difference_text(a, b):
    return f"The difference of {a} and {b} is {a - b}."


def pair(r, plus, want_held_out=False, lengths=None):
    """Two operands. One pair in four has a column in which a carry from below would pass through. Of the pairs to be
    subtracted, one in five lies close together."""
    while True:
        la, lb = r.choice(lengths or LENGTHS)
        a, b = number(r, la), number(r, lb)
        how = r.random()
        if not plus and how > 0.8:
            b = a + r.choice([-1, 1]) * r.randint(0, r.choice([10, 30, 99]))
            if not 0 <= b <= 999:
                continue
        elif how < 0.25 and min(la, lb) > 1:
            column = 10 ** r.randint(1, min(la, lb) - 1)
            digit = a // column % 10
            b += ((9 - digit if plus else digit) - b // column % 10) * column
            if len(str(b)) != lb:
                continue
        if held_out(a, b) == want_held_out:
            return a, b


def ask(r, plus, **kw):
    """(question, answer, a, b, result)"""
    a, b = pair(r, plus, **kw)
    question = r.choice(SUM_FORMS if plus else DIFFERENCE_FORMS).format(a, b)
    return question, (sum_text if plus else difference_text)(a, b), a, b, a + b if plus else a - b


def one_sum(r):
    return list(ask(r, True)[:2])


def one_difference(r):
    return list(ask(r, False)[:2])


def two_turns(r):
    what = r.random()
    if what < 0.12:
        name = r.choice(NAMES)
        hello = r.choice([f"My name is {name}.", f"I am {name}.", f"Hello, I am {name}.", f"Call me {name}."])
        return [hello, f"Hello {name}!", r.choice(["What is my name?", "Who am I?", "Do you know my name?"]),
                f"Your name is {name}."]
    if what < 0.2:
        word, how = r.choice(WORDS), r.random()
        start = [r.choice(LETTERS).format(word), letters(word)] if how < 0.5 else [r.choice(SPELL).format(word),
                                                                                   spelled(word)]
        more = ["Spell it.", spelled(word)] if how < 0.5 else ["How many letters are that?", letters(word)]
        return start + more
    while True:
        plus = r.random() < 0.5
        question, answer, a, b, c = ask(r, plus, lengths=[(1, 1), (2, 1), (2, 2), (3, 2), (2, 3), (3, 3)])
        if what < 0.3:
            return [question, answer, r.choice(WHICH), f"You asked about {a} and {b}."]
        if what < 0.4:
            return [question, answer, r.choice(AGAIN), f"The result was {c}."]
        if what < 0.5:
            return [question, answer, r.choice(SWAPPED), sum_text(b, a) if plus else difference_text(b, a)]
        d = number(r, r.choice([1, 1, 2, 2, 3]))
        if not 0 <= c <= 999 or held_out(c, d):
            continue
        if r.random() < 0.5:
            return [question, answer, r.choice(SUM_MORE).format(d), sum_text(c, d)]
        return [question, answer, r.choice(DIFFERENCE_MORE).format(d), difference_text(c, d)]


def spelled(word):
    return ", ".join(word) + "."


def letters(word):
    return f"The word {word} has {len(word)} letters."


def spelling(r):
    word = r.choice(WORDS)
    return [r.choice(SPELL).format(word), spelled(word)]


def counting(r):
    what = r.random()
    if what < 0.25:
        word = r.choice(WORDS)
        return [r.choice(LETTERS).format(word), letters(word)]
    if what < 0.5:
        word = r.choice(WORDS)
        letter = r.choice(word) if r.random() < 0.85 else r.choice("abcdefghijklmnopqrstuvwxyz")
        n = word.count(letter)
        times = ["no", "one", "two", "three", "four"][n]
        letters_n = letter if n == 1 else f"{letter}'s"
        return [r.choice(TIMES).format(word, letter), f"The word {word} has {times} {letters_n}."]
    if what < 0.7:
        a = number(r, r.choice([1, 1, 2, 3]))
        b = a + r.randint(1, 6)
        return [r.choice(COUNT).format(a, b), ", ".join(map(str, range(a, b + 1))) + "."]
    a = number(r, r.choice([1, 2, 3, 3]))
    if what < 0.8:
        return [r.choice(AFTER).format(a), f"After {a} comes {a + 1}."]
    if what < 0.88 and a:
        return [r.choice(BEFORE).format(a), f"Before {a} comes {a - 1}."]
    b = number(r, r.choice([1, 2, 3, 3]))
    b += a == b
    return [r.choice(LARGER).format(a, b), f"{max(a, b)} is larger than {min(a, b)}."]


def about_leat(r):
    questions, answer = r.choice(FACTS)
    return [r.choice(questions), answer]


def talk(r):
    if r.random() < 0.4:
        a, b = pair(r, True)
        return [r.choice(NOT_THAT).format(a, b), "I can add and subtract, but no more than that."]
    questions, answer = r.choice(TALK)
    return [r.choice(questions), answer]


KINDS = [("sum", one_sum, 33), ("difference", one_difference, 41), ("two turns", two_turns, 9),
         ("spelling", spelling, 4),
         ("counting", counting, 5), ("leat", about_leat, 5), ("talk", talk, 3)]
KIND_NAMES = [name for name, _, _ in KINDS]
MAKERS = [k for k, (_, _, share) in enumerate(KINDS) for _ in range(share)]


def example(r):
    """(kind, system text or None, template or not, [question, answer, question, ...])"""
    kind = r.choice(MAKERS)
    turns = KINDS[kind][1](r)
    if kind != 2 and r.random() < 0.2:
        return kind, None, False, turns
    if r.random() < 0.06:  # something else was said before
        turns = KINDS[r.choice(MAKERS)][1](r) + turns
    return kind, r.choice(SYSTEM) if r.random() < 0.04 else None, True, turns


def questions(seed, count):
    """Held-out questions, as many sums as differences: (plain or chat, kind, question, answer)."""
    r = random.Random(seed)
    return [(("chat", "plain")[i // 2 % 2], ("sum", "difference")[i % 2], *ask(r, i % 2 == 0, want_held_out=True)[:2])
            for i in range(count)]


if __name__ == "__main__":  # the tests' questions
    for q in questions(77, 200):
        print(*q, sep="\t")
