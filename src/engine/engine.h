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
    str like;          /* the built-in one to fall back to, or empty */
    char warning[256]; /* "" when the template is what was asked for */
} engine_template;

typedef struct engine_conversation {
    json_value messages, tools, variables; /* variables: null, or an object */
    bool no_prompt;
    uint64_t now_s;
} engine_conversation;

/* from: a Jinja template or the name of a built-in one; NULL: the file's own, or else chatml. */
err_code engine_template_open(engine_template *t, const gguf *file, const char *from, err *e);
void engine_template_close(engine_template *t); /* accepts a zeroed one */
/* The text is in the arena. A template that cannot be rendered gives way to the built-in one that it looks like. */
err_code engine_template_render(engine_template *t, const engine_conversation *c, arena *a, str *text, err *e);

#endif
