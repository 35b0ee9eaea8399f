/* chat_line.h: a line read from a terminal, key by key, with history.
 */
#ifndef LEAT_TOOLS_CHAT_LINE_H
#define LEAT_TOOLS_CHAT_LINE_H

#include "tools/tools.h"

typedef enum {
    LINE_OK,        /* Enter: the text is in line_text                  */
    LINE_END,       /* Ctrl-D on an empty line, or the end of the input */
    LINE_CLEARED,   /* Ctrl-C on a line that held text                  */
    LINE_INTERRUPT, /* Ctrl-C on an empty line                          */
    LINE_FAILED,
} line_result;

typedef struct line line;
/* history: the name of a file to keep it in (plat_state_path), or NULL. colours: the prompt may have them. */
err_code chat_line_open(line **out, tools *t, const char *history, bool colours, err *e);
void chat_line_close(line *l); /* accepts NULL */
/* prompt: ASCII, two cells. While a line is read Ctrl-C is a key; until the next one, it interrupts. From open to close
 * the terminal echoes nothing by itself. idle is called now and then while no key comes. */
line_result chat_line_read(line *l, const char *prompt, const yield_hook *idle);
str chat_line_text(const line *l); /* valid until the next read; may hold line ends */

#endif
