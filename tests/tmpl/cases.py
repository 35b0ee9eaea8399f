"""What templates are tried with: conversations, and random pieces of template."""
import copy
import itertools
import random

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place, with <b> & \"quotes\".\nTwo lines.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A town, e.g. Zürich"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "exact": {"type": ["boolean", "null"]},
            },
            "required": ["place"],
        },
        "return": {"type": "object", "properties": {"temperature": {"type": "number"}}},
    },
}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "",
        "parameters": {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": {"type": "string"}, "description": "what to look for"},
                "filter": {
                    "type": "object",
                    "description": "narrows it",
                    "properties": {
                        "from": {"type": "number", "description": "year"},
                        "tags": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
                        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                        "or": {"oneOf": [{"type": "string", "description": "a"}, {"type": "null"}]},
                    },
                    "required": ["from"],
                },
            },
            "required": ["items", "filter"],
        },
    },
}
NO_ARGUMENTS = {"type": "function", "function": {"name": "now", "description": "The time.",
                                                "parameters": {"type": "object", "properties": {}}}}
TOOLS = [WEATHER, SEARCH, NO_ARGUMENTS]


def call(i, name, arguments):
    return {"id": "call%05d" % i, "type": "function", "function": {"name": name, "arguments": arguments}}


ARGUMENTS = {"place": "Zürich 'old' \"town\"", "days": 3, "exact": True, "share": 0.25, "none": None,
             "list": [1, 2.5, "x", None, False, {"a": []}], "text": "two\nlines"}


def messages():
    """Name and messages of each conversation."""
    user, reply = {"role": "user", "content": "Hello, who are you?"}, {"role": "assistant", "content": "I am a mill."}
    system = {"role": "system", "content": "You are a mill on a leat. Be brief."}
    spaced = {"role": "user", "content": "  \n keep <|this|> & that \t\n"}
    thinking = {"role": "assistant", "content": "<think>\nwater\n</think>\n\nTurn the wheel."}
    reasoned = {"role": "assistant", "content": "Turn it.", "reasoning_content": "The water is high."}
    calls = {"role": "assistant", "content": "", "tool_calls": [call(1, "get_weather", ARGUMENTS)]}
    two = {"role": "assistant", "content": "Looking.",
           "tool_calls": [call(2, "get_weather", {"place": "Bern"}), call(3, "search", {"items": ["a", "b"], "filter": {}})]}
    as_text = {"role": "assistant", "content": None,
               "tool_calls": [call(4, "get_weather", "{\"place\": \"Bern\", \"days\": 2}")]}
    none = {"role": "assistant", "content": None, "tool_calls": [call(5, "now", {})]}

    def result(i, text="{\"temperature\": 21.5}", name="get_weather"):
        return {"role": "tool", "tool_call_id": "call%05d" % i, "name": name, "content": text}

    parts = {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": " this?"}]}
    image = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
    yield "one", [user]
    yield "system", [system, user]
    yield "turns", [system, user, reply, spaced, reply, user]
    yield "ends with the assistant", [user, reply]
    yield "spaces", [{"role": "system", "content": "  sys \n"}, spaced, {"role": "assistant", "content": " \n ok \n"}, user]
    yield "thinking", [user, thinking, user]
    yield "reasoning", [system, user, reasoned, user, reasoned]
    yield "tool call", [user, calls, result(1), user]
    yield "tool call last", [system, user, calls]
    yield "tool result last", [system, user, calls, result(1)]
    yield "two tools", [system, user, two, result(2), result(3, "[1, 2]", "search"), reply, user]
    yield "arguments as text", [user, as_text, result(4), reply, user]
    yield "no arguments", [user, none, result(5, "12:00", "now")]
    yield "reasoning and tools", [user, dict(calls, reasoning_content="I should look."), result(1), reasoned, user]
    yield "thought and tools", [user, dict(calls, thinking="I should look.", reasoning="hm"), result(1)]
    yield "result as parts", [user, calls, dict(result(1), content=[{"type": "text", "text": "21 degrees"}]), user]
    yield "parts", [parts, reply, parts]
    yield "system parts", [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, parts]
    yield "image", [image]
    yield "developer", [{"role": "developer", "content": "Be brief."}, user]
    yield "wrong order", [reply, user, user, reply]
    yield "two systems", [system, system, user]
    yield "system later", [user, system, user]
    yield "unknown role", [user, {"role": "miller", "content": "hm"}]
    yield "no content", [{"role": "user"}]
    yield "null content", [{"role": "user", "content": None}, {"role": "assistant", "content": None}]
    yield "empty", []
    yield "unicode", [{"role": "user", "content": "日本語 \U0001f600 e\u0301 ß \u00a0 \u2028 end"}]
    yield "long", [m for i in range(20) for m in ({"role": "user", "content": "q%d" % i},
                                                  {"role": "assistant", "content": "a%d" % i})] + [user]


TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
EXTRAS = [
    {},
    {"enable_thinking": False},
    {"enable_thinking": True, "thinking": True, "preserve_thinking": True, "reasoning_effort": "high",
     "thinking_budget": 512, "clear_thinking": False},
    {"documents": [{"title": "Mills", "text": "A mill turns.", "content": "A mill turns.", "doc_id": 1}],
     "reasoning_effort": "low", "thinking": False, "controls": {"length": "short"}},
    {"response_format": {"type": "json_object"}, "builtin_tools": ["web_search", "code_interpreter"],
     "model_identity": "You are a mill.", "date_string": "1 Jan 2025", "tools_in_user_message": False,
     "custom_instructions": "Obey.", "xml_tools": ["a"]},
]


def conversations():
    for name, m in messages():
        for prompt, tools in itertools.product((True, False), (None, TOOLS)):
            base = dict(TOKENS, messages=m, add_generation_prompt=prompt, tools=tools, documents=None)
            yield "%s, prompt %s, %s tools" % (name, prompt, "with" if tools else "no"), base
        for i, extra in enumerate(EXTRAS[1:]):
            yield "%s, extra %d" % (name, i + 1), dict(TOKENS, messages=m, add_generation_prompt=True, tools=TOOLS, **extra)
        yield name + ", bare", {"messages": m}
        yield name + ", bare tools", {"messages": m, "tools": [WEATHER["function"]], "add_generation_prompt": True}
        yield name + ", empty tools", dict(TOKENS, messages=m, tools=[], add_generation_prompt=True)
    yield "nothing", {}
    yield "messages are none", {"messages": None}


# ---- random pieces -----------------------------------------------------------------------------------

VARIABLES = {
    "s": "Hello, World", "t": "  a b\tc \n", "u": "äÖß 日本 \U0001f600", "e": "", "q": "it's \"q\"", "n": 3, "z": 0, "m": -7, "f": 2.5, "g": -0.1,
    "h": 1e20, "b": True, "c": False, "none": None, "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "el": [], "x": [1, "a", None, 2.0, True, [1]],
    "d": {"b": 1, "a": 2, "items": [1], "C": 3}, "ed": {}, "o": [{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "X"}],
    "p": [["a", 1], ["b", 2]], "deep": {"a": {"b": [{"c": "end"}]}},
}
NAMES = list(VARIABLES) + ["missing"]
FILTERS = ["tojson", "length", "trim", "string", "lower", "upper", "title", "capitalize", "list", "first", "last", "int", "float", "abs",
           "sort", "unique", "min", "max", "reverse", "sum", "items", "dictsort", "round", "safe", "e", "count", "wordcount",
           "default('x')", "d('y', true)", "join(', ')", "join", "replace('a', 'b')", "replace('l', '', 1)", "indent", "indent(2, true)",
           "indent(width=3, blank=true)", "tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))",
           "tojson(sort_keys=true, indent=1)", "map('upper')", "map('string')", "map(attribute='k')", "map(attribute='v', default=0)",
           "select", "reject", "select('string')", "reject('none')", "select('number')", "selectattr('v')", "selectattr('k', 'equalto', 'x')",
           "rejectattr('v', 'defined')", "sort(reverse=true)", "sort(attribute='k')", "dictsort(by='value')", "dictsort(true)",
           "unique(true)", "round(1)", "round(1, 'floor')", "batch(2)", "batch(2, 0)", "int(7)", "float(1.5)", "center(12)", "attr('k')",
           "trim('H d')", "format(1, 2)", "from_json", "min(attribute='k')", "sum(attribute='v')", "length == 3"]
TESTS = ["defined", "undefined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float", "boolean", "true",
         "false", "odd", "even", "lower", "upper", "callable", "escaped", "in l", "in s", "in d", "equalto 3", "eq('x')", "divisibleby 3",
         "gt 1", "le 2", "ne none", "sameas none", "not none", "not string"]
METHODS = ["strip()", "lstrip()", "rstrip('d')", "split()", "split(',')", "split('l', 1)", "rsplit('l', 1)", "rsplit(None, 1)", "upper()", "lower()",
           "title()", "capitalize()", "startswith('H')", "endswith(('d', 'x'))", "find('o')", "rfind('o')", "replace('o', '0')",
           "count('l')", "join(w)", "join('abc')", "isdigit()", "isalpha()", "isspace()", "isupper()", "islower()", "ljust(14, '.')",
           "rjust(14)", "center(15, '*')", "partition(',')", "removeprefix('He')", "removesuffix('ld')", "splitlines()",
           "format(1)", "items()", "keys()", "values()", "get('a')", "get('zz', 5)", "get('k')", "index('o')", "append(1)", "pop()", "pop(0)",
           "copy()", "update({})", "a", "k", "items", "b", "nothing", "nothing.more", "a.b", "isalnum()"]
OPS = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">", "<=", ">=", "and", "or", "in", "not in"]
CONSTANTS = ["0", "1", "2", "-1", "3.5", "1e3", "'a'", "\"b'c\"", "''", "true", "false", "none", "[]", "[1, 'a']", "(1,)", "()", "{'a': 1}", "{}",
             "'%s-%s'", "'{}-{}'", "'%d%%'", "'%5.1f|%-4s|'", "'{:>5}|{:04d}'", "'\\n\\t\\u00e9'", "0x1F", "1_000", "range(4)", "'ab' 'cd'"]


def random_case(seed):
    r = random.Random(seed)

    def expression(depth):
        k = r.randrange(16 if depth > 0 else 5)
        if k < 3:
            return r.choice(NAMES)
        if k < 5:
            return r.choice(CONSTANTS)
        if k == 5:
            return "%s|%s" % (expression(depth - 1), r.choice(FILTERS))
        if k == 6:
            return "(%s)|%s|%s" % (expression(depth - 1), r.choice(FILTERS), r.choice(FILTERS))
        if k == 7:
            return "%s is %s" % (expression(depth - 1), r.choice(TESTS))
        if k == 8:
            return "(%s).%s" % (expression(depth - 1), r.choice(METHODS))
        if k == 9:
            return "%s %s %s" % (expression(depth - 1), r.choice(OPS), expression(depth - 1))
        if k == 10:
            return "(%s) %s (%s)" % (expression(depth - 1), r.choice(OPS), expression(depth - 1))
        if k == 11:
            return "(%s)[%s]" % (expression(depth - 1), expression(depth - 1))
        if k == 12:
            part = lambda: r.choice(["", "0", "1", "2", "-1", "-2", "n", "5"])
            return "(%s)[%s:%s%s]" % (expression(depth - 1), part(), part(), r.choice(["", ":", ":2", ":-1", ":-2"]))
        if k == 13:
            return "(%s if %s else %s)" % (expression(depth - 1), expression(depth - 1), expression(depth - 1))
        if k == 14:
            return "(%s %s)" % (r.choice(["not", "-", "+"]), expression(depth - 1))
        return r.choice(["[%s, %s]", "(%s, %s)", "{'a': %s, 'b': %s}", "[%s] + [%s]"]) % (expression(depth - 1), expression(depth - 1))

    def space():
        return r.choice(["", " ", "\n", "\n  ", " \n", "\n\n", "x", "\t"])

    def tag(s):
        return "{%" + r.choice(["", "", "-", "+"]) + " " + s + " " + r.choice(["", "", "-", "+"]) + "%}" + space()

    def body(depth):
        return "".join(statement(depth) + space() for _ in range(r.randrange(1, 3)))

    def statement(depth):
        k = r.randrange(14 if depth > 0 else 4)
        e = lambda: expression(r.randrange(3))
        if k < 2:
            return "{{" + r.choice(["", "-"]) + " " + e() + " " + r.choice(["", "-"]) + "}}"
        if k == 2:
            return tag("set %s = %s" % (r.choice(NAMES + ["v1", "v2"]), e()))
        if k == 3:
            return r.choice(["{# c #}", "{#- c -#}", "text", "  \n", "{% raw %} {{ a }} {% endraw %}", "{%- raw -%} x {%- endraw -%}", "\n"])
        if k == 4:
            return tag("if " + e()) + body(depth - 1) + tag("endif")
        if k == 5:
            return tag("if " + e()) + body(depth - 1) + tag("elif " + e()) + body(depth - 1) + tag("else") + body(depth - 1) + tag("endif")
        if k == 6:
            return tag("for i in " + e()) + body(depth - 1) + "{{ i }}{{ loop.index }}" + tag("endfor")
        if k == 7:
            return (tag("for i in %s if %s" % (e(), e())) + body(depth - 1) + "{{ loop.last }}{{ loop.length }}{{ loop.previtem }}" +
                    r.choice(["", tag("continue"), tag("if loop.first") + tag("break") + tag("endif")]) + "{{ loop.nextitem is defined }}" +
                    tag("else") + body(depth - 1) + tag("endfor"))
        if k == 8:
            return tag("for k, v in " + r.choice(["d.items()", "d|items", "p", "d|dictsort", e()])) + body(depth - 1) + "{{ k }}={{ v }}" + tag("endfor")
        if k == 9:
            return tag("set %s" % r.choice(["v1", "s", "v2 | upper"])) + body(depth - 1) + tag("endset")
        if k == 10:
            return (tag("macro mac(a, b=%s)" % e()) + body(depth - 1) + "{{ a }}{{ b }}{{ v1 }}" + r.choice(["", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}"]) +
                    tag("endmacro") + "{{ mac(%s) }}" % r.choice([e(), "", "1, 2, 3", "b=2", "a=%s, c=1" % e(), "*l", "**d"]))
        if k == 11:
            return (tag("set ns = namespace(a=%s, b=[])" % e()) + tag("for i in range(3)") + tag("set ns.a = " + r.choice(["ns.a ~ i", "i", e()])) +
                    tag("set ns.b = ns.b + [i]") + body(depth - 1) + tag("endfor") + "{{ ns.a }}{{ ns.b }}{{ ns.c }}")
        if k == 12:
            return tag("filter " + r.choice(["upper", "trim", "indent(2)", "replace('a', 'b')|title"])) + body(depth - 1) + tag("endfilter")
        return r.choice([tag("with a = %s, q = a" % e()) + body(depth - 1) + "{{ a }}" + tag("endwith"),
                         tag("generation") + body(depth - 1) + tag("endgeneration"),
                         tag("macro w(x)") + "<{{ x }}{{ caller() if caller }}>" + tag("endmacro") + tag("call w(%s)" % e()) + body(depth - 1) + tag("endcall"),
                         tag("macro w2()") + "<{{ caller(1, 2) }}>" + tag("endmacro") + tag("call(a, b=3) w2()") + "{{ a }}{{ b }}" + tag("endcall")])

    return "".join(statement(2) + space() for _ in range(r.randrange(1, 5))), copy.deepcopy(VARIABLES)


# ---- our own templates, for the tests of the tree ----------------------------------------------------

CHAT = """{%- set ns = namespace(last=-1, calls=0) -%}
{%- if tools -%}
    {{- '<tools>\\n' -}}
    {%- for tool in tools %}
        {{- tool | tojson }}
        {{- '\\n' }}
    {%- endfor %}
    {{- '</tools>\\n' }}
{%- endif -%}
{%- for m in messages %}
    {%- if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- macro text(content, trim=true) -%}
    {%- if content is string -%}
        {{- content | trim if trim else content -}}
    {%- elif content is iterable and content is not mapping -%}
        {%- for part in content -%}
            {%- if part.type == 'text' %}{{ part.text }}{% else %}{{ raise_exception('no ' ~ part.type ~ ' here') }}{% endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- for message in messages %}
    {%- if not loop.first and message.role == 'system' %}{{ raise_exception("System message must be first") }}{% endif %}
{%- set content = text(message.content) %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- if loop.index0 > ns.last and reasoning %}{{- '[' ~ reasoning ~ ']' }}{% endif %}
    {%- endif %}
<{{ message.role }}>{{ content }}
    {%- for call in message.tool_calls or [] if call.function is defined %}
        {%- set ns.calls = ns.calls + 1 %}
        {%- set f = call.function %}
 call {{ ns.calls }}: {{ f.name }}(
        {%- if f.arguments is mapping %}
            {%- for k, v in f.arguments | dictsort %}
                {{- k }}={{ v if v is string else v | tojson }}{{ ', ' if not loop.last }}
            {%- endfor %}
        {%- else %}{{ f.arguments }}{% endif %})
    {%- endfor %}
    {%- if message.role == 'tool' and loop.previtem is defined and loop.previtem.role != 'tool' %} (first result){% endif %}
    {%- if loop.nextitem is not defined %}{{ eos_token }}{% endif %}
{% endfor %}
{%- if add_generation_prompt %}<assistant>{% endif %}"""

OWN = [
    # white space
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a {%- if true -%} b {%- endif -%} c", "a\n{%+ if true +%}\nb\n{% endif %}",
    "  {# c #}\n x {#- d -#} y", "{% raw %}\n {{ x }} {% y %}\n{% endraw %}\nz", "x\r\ny\rz\n", "\n\n", "{{ 'a' }}\n{{ 'b' -}}\n c",
    # printing
    "{{ none }} {{ true }} {{ 1 }} {{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ missing }} {{ [1, 'a\\'b', none, 2.5, {'k': (1,)}] }}",
    "{{ ['\\n\\t\\\\', '\"', \"'\", '\\x07é\\u00a0'] }}", "{{ 10000000000000000 * 1.0 }} {{ 123456789012345680.0 }} {{ 5e-324 }} {{ 2 ** -44 }}",
    # operators
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7 / 2 }}",
    "{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' in 'abc' }} {{ 3 not in l }} {{ 'b' in d }} {{ [1] == (1,) }}",
    "{{ 1 ~ 'a' ~ none }} {{ 'ab' * 2 }} {{ [1] * 2 + [3] }} {{ (1,) + (2,) }} {{ not 1 or 2 and 3 }} {{ -2 ** 2 }} {{ 'x' if z }}",
    "{{ s[1] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ l[::2] }} {{ u[3:6] }} {{ l[5] is defined }} {{ s[100:] }} {{ range(10)[2:8:3] }}",
    "{{ d.items() | list }} {{ d['items'] }} {{ d.b }} {{ d.zz is undefined }} {{ d.get('zz', 1) }} {{ deep.a.b[0].c }}",
    "{{ d[(1, 2)] is defined }}{{ d[(1, [2])] is defined }}{{ d[[1]] is defined }}{{ d[{}] is defined }}", "{{ missing.x }}", "{{ none + 1 }}", "{{ 'a' + 1 }}", "{{ 1 / 0 }}", "{{ l.append(1) }}", "{{ d.update({}) }}", "{{ [] | first }}|{{ [] | last is defined }}",
    "{{ 'a<b' | safe + '<c>' }} {{ '<' | e }} {{ ('<' | safe) ~ '<' }}",
    # statements
    "{% for i in l %}{{ loop.index }}/{{ loop.length }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ i }};{% else %}none{% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for i in range(9) if i is odd %}{{ i }}{{ loop.length }}{{ loop.nextitem }}{{ loop.previtem }} {% endfor %}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{% endfor %}{{ x }}", "{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t %}x{{ a }}y{% endset %}{{ t }}{% set t | upper %}x{% endset %}{{ t }}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1) }}{{ m(1, 3, 4, 5, d=6) }}{{ m(c=1) }}",
    "{% macro m(a) %}<{{ caller(a) }}>{% endmacro %}{% call(x) m(3) %}got {{ x }}{% endcall %}", "{% macro m() %}{% endmacro %}{{ m(1) }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% filter upper | trim %} a{{ s }} {% endfilter %}",
    "{% if a %}1{% elif s %}2{% else %}3{% endif %}{% if not s %}{% set q = 9 %}{% endif %}{{ q }}", "{% generation %}{% set s = 2 %}{{ s }}{% endgeneration %}{{ s }}",
    "{% with a = 1, b = s %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{{ raise_exception('no ' ~ s) }}", "{{ strftime_now('%Y-%m-%d %H:%M:%S %d %B %b %A %j') }}",
    "{% for a in l %}{% for b in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", "{% for i in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i > 1) }}{% endfor %}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ m() }}{% set x = 2 %}{{ m() }}", "{% print 1, 2 %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}",
    # filters, tests, methods
    "{{ d | tojson }} {{ d | tojson(indent=2) }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ x | tojson(separators=(',', ':')) }}",
    "{{ o | selectattr('v', 'defined') | map(attribute='k') | join('-') }} {{ o | rejectattr('k', 'equalto', 'x') | list }} {{ l | select('gt', 1) | list }}",
    "{{ w | sort }} {{ w | sort(case_sensitive=true) }} {{ l | sort(reverse=true) }} {{ o | sort(attribute='k') | map(attribute='k') | list }}",
    "{{ d | dictsort }} {{ w | unique | list }} {{ l | min }}{{ l | max }}{{ l | sum }} {{ l | reverse | list }} {{ 'abc' | reverse }} {{ l | map('string') | list }}",
    "{{ t | trim }}|{{ s | replace('l', 'L', 1) }}|{{ 'a b-c (d' | title }}|{{ 'ABC' | capitalize }}|{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}",
    "{{ '12' | int }} {{ 'x' | int(3) }} {{ '1.7' | int }} {{ '0x1f' | int(base=16) }} {{ '2.5' | float }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ -3 | abs }} {{ 2.1 | round(0, 'ceil') }}",
    "{{ missing | default('d') }} {{ '' | d('e', true) }} {{ '' | d('e') }} {{ l | length }} {{ u | length }} {{ l | first }}{{ l | last }} {{ l | batch(2) | list }}",
    "{{ '[1, {\"a\": null}]' | from_json }}", "{{ x | items | list }}", "{{ ed | items | list }} {{ missing | items | list }}", "{{ 'a' | nothing }}", "{% if false %}{{ 'a' | nothing }}{% endif %}ok",
    "{{ s is string }}{{ d is mapping }}{{ l is sequence }}{{ s is iterable }}{{ n is number }}{{ b is number }}{{ f is float }}{{ n is integer }}{{ none is none }}{{ b is boolean }}{{ missing is defined }}",
    "{{ s.split(', ') }} {{ t.split() }} {{ s.rsplit('l', 1) }} {{ s.strip('Hd') }} {{ s.find('W') }} {{ s.startswith('He') }} {{ s.upper() }} {{ ', '.join(w) }} {{ 'a{}b{x}'.format(1, x=2) }}",
    "{{ '%s is %d, %5.2f|%-5s|%05d' % ('a', 2, 3.14159, 'x', 42) }} {{ '{:>6}|{:<4}|{:^5}|{:05.1f}|{:+d}'.format('a', 'b', 'c', 2.25, 1234567) }} {{ '%s' | format('x') }}",
    "{{ l | map('nothing') | list }}", "{{ l | select('nothing') | list }}", "{{ (l | map('string')) is sequence }} {{ l | map('string') | length }}",
    # syntax errors
    "{{ a", "{% if a %}", "{% endif %}", "{{ a b }}", "{{ 'a }}", "{{ (1 }}", "{% for in l %}{% endfor %}", "{# a", "{% raw %}", "{% break %}", "{{ }}", "{% set %}", "{{ a | }}", "{% set true = 1 %}", "{{ 1 is 2 }}",
]


def own_cases():
    """Name, template, variables: what the tests of the tree render."""
    for source in OWN:
        yield source, VARIABLES
    for i, (name, m) in enumerate(messages()):
        yield CHAT, dict(TOKENS, messages=m, add_generation_prompt=i % 2 == 0, tools=TOOLS if i % 3 == 0 else None)
    seed, found = 0, 0
    while found < 200:
        seed += 1
        source, variables = random_case(seed)
        if len(source) < 300:
            found += 1
            yield source, VARIABLES
