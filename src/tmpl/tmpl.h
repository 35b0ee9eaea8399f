/* tmpl.h: chat templates: the part of Jinja2 that the templates in model files use, rendered as Python's jinja2 with
 * the settings of the transformers library does: trim_blocks and lstrip_blocks, no autoescape, lists and dicts that
 * cannot be changed, break and continue, generation tags, tojson that escapes no HTML, from_json, raise_exception,
 * strftime_now.
 *
 * A template is compiled once and may be rendered by several threads at a time. A template is hostile input: source,
 * nesting, steps, memory and output have the limits below, and each ends with an error. docs/TEMPLATES.md says what is
 * supported and how that was compared. Next: tmpl_lex.c, tmpl_parse.c, tmpl_scope.c, then tmpl_run.c.
 */
#ifndef LEAT_TMPL_H
#define LEAT_TMPL_H

#include "json/json.h"

enum {
    TMPL_SOURCE_BYTES_MAX = 1 << 20,
    TMPL_NEST_MAX = 160,    /* blocks and brackets inside each other, as written        */
    TMPL_HEIGHT_MAX = 500,  /* of a syntax tree: also long chains of + or of attributes */
    TMPL_NAMES_MAX = 1024,  /* variables of one scope                                   */
    TMPL_DEPTH_MAX = 1500,  /* of evaluation: nested expressions, blocks and macros     */
    TMPL_RANGE_MAX = 100000, /* items of one range()                                    */
};
#define TMPL_STEPS_MAX ((uint64_t)100 << 20) /* a step: a node evaluated, or 64 bytes of text copied or looked at */
#define TMPL_BYTES_MAX ((size_t)512 << 20)   /* values and texts that one render makes                            */

typedef struct tmpl tmpl;

/* Errors name the line and what was seen: ERR_FORMAT where jinja2 would refuse too, ERR_UNSUPPORTED for what only
 * jinja2 has. source may be freed after the call. */
err_code tmpl_open(tmpl **out, str source, err *e);
void tmpl_close(tmpl *t); /* accepts NULL */

typedef struct tmpl_opts {
    uint64_t now_s;     /* seconds since 1970-01-01, for strftime_now, which tells UTC */
    uint64_t steps_max; /* 0: TMPL_STEPS_MAX                                           */
    size_t bytes_max;   /* 0: TMPL_BYTES_MAX                                           */
    const yield_hook *yield; /* NULL: none                                             */
} tmpl_opts;

/* variables: an object: messages, tools, add_generation_prompt, bos_token ...; what is not there is undefined, null is
 * None. The text is in the caller's arena. opts may be NULL. Errors:
 *   ERR_ARGUMENT      raise_exception: the text is the template's own message
 *   ERR_FORMAT        what Python would raise (a type error, something undefined used); the text names the line
 *   ERR_UNSUPPORTED   what leat has not
 *   ERR_LIMIT, ERR_MEMORY, ERR_CANCELLED */
err_code tmpl_render(const tmpl *t, const json_value *variables, const tmpl_opts *opts, arena *a, str *text, err *e);

/* ---- built-in templates ---------------------------------------------------------------------------- */

/* Writes the source of a template known by name ("chatml", "llama3", ...) to to[0..cap); returns its length, 0 for no
 * name. */
#define TMPL_BUILTIN_BYTES_MAX 2048
size_t tmpl_builtin(str name, char *to, size_t cap);
str tmpl_builtin_name(size_t i); /* empty after the last */
/* The name of the built-in one that a template most likely asks for, judged by the special tokens in its text; empty
 * when it has none that is known. For templates that cannot be rendered. */
str tmpl_builtin_like(str source);

#endif
