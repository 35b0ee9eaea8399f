/* option.c: KEY=VALUE words of a text: the kernel's command line and leat.conf. Pure, so that Linux with leat as its
 * first process reads them the same way.
 */
#include "kernel/boot/boot.h"

bool boot_option_in(const char *options, const char *key, size_t nth, char *value, size_t cap) {
    str line = str_of(options);
    size_t key_len = cstr_len(key);
    for (size_t at = 0; at < line.len;) {
        if (line.ptr[at] == ' ' || line.ptr[at] == '\n') {
            at++;
            continue;
        }
        size_t from = at;
        bool quoted = false;
        for (; at < line.len && (quoted || (line.ptr[at] != ' ' && line.ptr[at] != '\n')); at++)
            if (line.ptr[at] == '"') quoted = !quoted;
        str word = str_cut(line, from, at - from);
        if (word.len >= 2 && word.ptr[0] == '"') word = str_cut(word, 1, word.len - 2); /* as GRUB puts them */
        if (!str_starts(word, str_of(key)) || word.len <= key_len || word.ptr[key_len] != '=') continue;
        if (nth--) continue;
        str text = str_cut(word, key_len + 1, word.len);
        if (text.len >= 2 && text.ptr[0] == '"') text = str_cut(text, 1, text.len - 2);
        fmt(value, cap, "%.*s", (int)text.len, text.ptr);
        return true;
    }
    return false;
}
