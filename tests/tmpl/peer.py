#!/usr/bin/env python3
"""Renders with jinja2 as the transformers library does, and compares leat with it (needs python3-jinja2).

    peer.py compare RENDER FOLDER...   every *.jinja of the folders, over the conversations of cases.py
    peer.py expect RENDER              writes what jinja2 makes of the templates of cases.py: tests/data/tmpl/expected.jsonl
    peer.py random RENDER COUNT [SEED]   random templates, made by cases.py from the seeds that follow SEED

RENDER is build/tmpl-render. Equal means: the same text, or an error on both sides.
"""
import copy, datetime, functools, glob, json, os, re, subprocess, sys

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases

ADDRESS = re.compile(r"<(\w+ ?){1,3}( object)?( \S+)?( at \S+)?>", re.I)  # of generators, methods and macros
NOW = 1753963200 + 45296  # 2025-07-31 12:34:56 UTC


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks what the assistant said; here it only writes it."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_write"), [], [], body).set_lineno(line)

    def _write(self, caller):
        return caller()


class Lazy:
    """A generator that is printed without its address, so that a template may do with the text what it likes."""
    def __init__(self, made):
        self.made = made

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.made)

    def __repr__(self):
        return "<generator object>"


def lazy(made):
    @functools.wraps(made)  # with the marks that jinja2 puts on filters
    def make(*args, **kwargs):
        return Lazy(made(*args, **kwargs))
    return make


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(form)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    for name in "batch", "items", "map", "reject", "rejectattr", "select", "selectattr", "slice", "unique":
        env.filters[name] = lazy(env.filters[name])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


ENV = environment()
COMPILED = [None, None]  # the last template: source, what jinja2 made of it


def render(source, variables):
    """("text", ...) or ("error", ...)"""
    try:
        if COMPILED[0] != source:
            COMPILED[:] = [None, ENV.from_string(source)]
            COMPILED[0] = source
        text = COMPILED[1].render(**variables)
        text.encode("utf-8")
        return "text", text
    except Exception as e:
        return "error", "%s: %s" % (type(e).__name__, e)
    except RecursionError as e:
        return "error", "RecursionError: %s" % e


class Leat:
    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, source, variables):
        case = {"template": source, "variables": variables, "now": NOW}
        self.process.stdin.write(json.dumps(case, ensure_ascii=False).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("the renderer ended at: %r %r" % (source, variables))
        answer = json.loads(line)
        return ("text", answer["text"]) if "text" in answer else ("error", answer["code"] + ": " + answer["error"])


def compare(leat, source, variables, name):
    theirs, ours = render(source, copy.deepcopy(variables)), leat.render(source, variables)
    if theirs[0] == "text" and ours[0] == "text" and ADDRESS.sub("<>", theirs[1]) == ADDRESS.sub("<>", ours[1]):
        return True, theirs
    if theirs[0] == "text" and re.search(r" (at|bt|AT|Bt|At) 0[xX]", theirs[1]):  # the address of a generator
        return True, theirs
    if "complex number" in ours[1]:
        return True, theirs
    if "cannot be sliced" in ours[1] or "64 bits" in ours[1]:  # jinja2's folding of constants forgives; we have no longer integers
        return True, theirs
    if theirs[0] == "error" and ours[0] == "error":
        raised = theirs[1].startswith("TemplateError: ")  # by raise_exception: then the message must be the same
        if not raised or theirs[1][15:].startswith(ours[1][len("bad argument: "):]):
            return True, theirs
    print("DIFFERS", name, "\n  jinja2:", repr(theirs)[:1500], "\n  leat:  ", repr(ours)[:1500], file=sys.stderr)
    return False, theirs


def compare_folders(leat, folders):
    counts = {True: 0, False: 0}
    errors = 0
    for folder in folders:
        for path in sorted(glob.glob(folder + "/*.jinja")):
            with open(path, encoding="utf-8") as f:
                source = f.read()
            for name, variables in cases.conversations():
                same, theirs = compare(leat, source, variables, os.path.basename(path) + " " + name)
                counts[same] += 1
                errors += theirs[0] == "error"
    print("%d of the renders are errors" % errors)
    print("%d passed, %d failed" % (counts[True], counts[False]))
    return counts[False] == 0


def compare_random(leat, count, seed):
    counts = {True: 0, False: 0}
    errors = 0
    for seed in range(seed + 1, seed + count + 1):
        source, variables = cases.random_case(seed)
        same, theirs = compare(leat, source, variables, "seed %d: %r" % (seed, source))
        counts[same] += 1
        errors += theirs[0] == "error"
        if counts[False] > 20:
            break
    print("%d of the renders are errors; the last seed was %d" % (errors, seed))
    print("%d passed, %d failed" % (counts[True], counts[False]))
    return counts[False] == 0


def expect(leat):
    """A line a case: template, variables ("" as in the line before) and what jinja2 makes of it. leat must agree."""
    before, ok = None, True
    for source, variables in cases.own_cases():
        same, theirs = compare(leat, source, variables, repr(source))
        ok = ok and same
        if re.search(r" (at|bt) 0x", theirs[1]) or "0X" in theirs[1]:
            continue
        case = {"template": source, "variables": variables if variables != before else ""}
        before = variables
        if theirs[0] == "text":
            case["text"] = theirs[1]
        else:
            raised = theirs[1].startswith("TemplateError: ")
            case["raised" if raised else "error"] = theirs[1][15:] if raised else True
        print(json.dumps(case, ensure_ascii=False))
    return ok


def main():
    command, leat = sys.argv[1], Leat(sys.argv[2])
    if command == "compare":
        ok = compare_folders(leat, sys.argv[3:])
    elif command == "random":
        ok = compare_random(leat, int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    else:
        ok = expect(leat)
    sys.exit(not ok)


if __name__ == "__main__":
    main()
