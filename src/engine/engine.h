/* engine.h: what commands that open no model use of the engine: a conversation rendered with the header of a file.
 * Everything else is include/leat.h. Variables are those that the transformers library gives to templates: messages,
 * tools and documents (null when not given), add_generation_prompt, and the texts of the special tokens.
 */
#ifndef LEAT_ENGINE_H
#define LEAT_ENGINE_H

#include "gguf/gguf.h"
#include "tmpl/tmpl.h"

typedef struct engine_template {
    const gguf *file;
    tmpl *compiled;
    str like;          /* the built-in one to fall back to; empty for a built-in one */
    char warning[256]; /* "" when the template is what was asked for */
} engine_template;

typedef struct engine_conversation {
    json_value messages, tools, variables; /* variables: null, or an object */
    bool no_prompt;
    uint64_t now_s;
    const yield_hook *yield; /* NULL: none */
} engine_conversation;

/* from: a Jinja template or the name of a built-in one; NULL: the file's own, or else chatml. A template that asks for
 * what leat has not gives way to the built-in one that it looks like, or else to chatml; the file's own does also when
 * jinja2 would refuse it and when it is beyond a limit. */
err_code engine_template_open(engine_template *t, const gguf *file, const char *from, err *e);
void engine_template_close(engine_template *t); /* accepts a zeroed one */
/* The text is in the arena. A template may give way here as well, for this render only; what it raises is an error. */
err_code engine_template_render(engine_template *t, const engine_conversation *c, arena *a, str *text, err *e);

#endif
