/* image.c: `leat image`, a disk that boots into a model: the loaders and the kernel (leat-boot.img of the build), a
 * configuration, and a leat partition with manifest and models. Next: image_disk.c.
 */
#include "hosted/image.h"

#include <unistd.h>

#include "gguf/gguf.h"
#include "kernel/net/net.h"

#define LOADER "leat-boot.img"

typedef struct image_values {
    tools_strs models, keys, options;
    const char *out, *ip, *list, *loader;
    bool serve, raw, iso;
} image_values;

/* ---- what is to be written ------------------------------------------------------------------------ */

static str base_name(const char *path) {
    str s = str_of(path);
    for (size_t at; (at = str_find(s, STR("/"))) != SIZE_MAX;) s = str_cut(s, at + 1, s.len);
    return s;
}

static err_code add_file(image_plan *p, const char *path, uint64_t bytes, str name, err *e) {
    if (p->n == IMAGE_FILES_MAX) return ERR(e, ERR_LIMIT, "more than %d files", IMAGE_FILES_MAX - 1);
    if (!volume_name_ok(name) || str_find(name, STR("\"")) != SIZE_MAX || str_find(name, STR("'")) != SIZE_MAX)
        return ERR(e, ERR_ARGUMENT, "%s: no name for a file of the image; wanted at most %d bytes without quotes", path,
                   VOLUME_NAME_MAX);
    for (size_t i = 0; i < p->n; i++)
        if (str_is(name, p->entries[i].name))
            return ERR(e, ERR_ARGUMENT, "two files are called %s", p->entries[i].name);
    fmt(p->entries[p->n].name, sizeof p->entries->name, "%.*s", (int)name.len, name.ptr);
    p->entries[p->n].bytes = bytes;
    p->files[p->n++].path = path;
    p->bytes += bytes;
    return ERR_NONE;
}

/* The model's file, or all its parts. Opening them says whether it is one. */
static err_code add_model(image_plan *p, gguf **model, const char *path, err *e) {
    err_code code = gguf_open(model, path, e);
    for (size_t i = 0; !code && i < gguf_part_count(*model); i++) {
        const char *part = gguf_part_path(*model, i);
        code = add_file(p, part, plat_file_bytes(gguf_part_file(*model, i)), base_name(part), e);
        if (!code) p->files[p->n - 1].file = gguf_part_file(*model, i);
    }
    return code;
}

/* A word of the configuration stands in quotes there. */
static bool is_plain(const char *word) {
    for (const char *c = word; *c; c++)
        if (*c <= ' ' || *c == '"' || *c == '\'' || *c == 127) return false;
    return *word != 0;
}

static err_code write_conf(image_plan *p, const image_values *o, const char *model, err *e) {
    size_t n = 0, cap = sizeof p->conf;
    if (o->serve) {
        n += fmt(p->conf + n, cap - n, "run=\"serve -m '%s' --host 0.0.0.0 --port 80", model);
        for (size_t i = 0; i < o->keys.n; i++) {
            if (!is_plain(o->keys.at[i])) return ERR(e, ERR_ARGUMENT, "a key for the server has blanks or quotes");
            n += fmt(p->conf + n, cap - n, " --api-key %s", o->keys.at[i]);
        }
        n += fmt(p->conf + n, cap - n, "\"\n");
    }
    net_config c;
    if (o->ip && !str_is(str_of(o->ip), "none") && net_config_parse(str_of(o->ip), &c, e) != ERR_NONE) return e->code;
    if (o->ip) n += fmt(p->conf + n, cap - n, "ip=%s\n", o->ip);
    for (size_t i = 0; i < o->options.n; i++) {
        str line = str_of(o->options.at[i]);
        if (str_find(line, STR("=")) == SIZE_MAX || str_find(line, STR("\n")) != SIZE_MAX)
            return ERR(e, ERR_ARGUMENT, "--option: '%s' is not KEY=VALUE", o->options.at[i]);
        n += fmt(p->conf + n, cap - n, "%s\n", o->options.at[i]);
    }
    if (n + 1 >= cap) return ERR(e, ERR_LIMIT, "the configuration has more than %d bytes", IMAGE_CONF_BYTES - 1);
    p->entries[0].bytes = n;
    p->bytes += n;
    return ERR_NONE;
}

/* What is there may be replaced, but not by surprise: neither a disk, whose name would become a file's (which
 * plat_file_rename refuses as well, but only when all is written), nor what the image is made of. */
static err_code check_out(image_plan *p, const image_values *o, err *e) {
    uint64_t id[2];
    if (!plat_out_aside(o->out, p->aside, sizeof p->aside))
        return ERR(e, ERR_ARGUMENT, "%.150s: no name that an image can have", o->out);
    for (int aside = 0; aside < 2; aside++) {
        const char *out = aside ? p->aside : o->out;
        if (access(out, F_OK) == 0 && plat_file_id(out, id) != PLAT_OK)
            return ERR(e, ERR_ARGUMENT, "%s: no plain file; write the image to one, and copy that by dd", out);
    }
    err_code code = tools_check_out(o->out, o->models.at, o->models.n, e);
    return code ? code : tools_check_out(o->out, &p->loader, 1, e);
}

/* ---- showing one ---------------------------------------------------------------------------------- */

typedef struct part_of_file {
    plat_file *file;
    uint64_t offset;
} part_of_file;

static int read_part(void *ctx, uint64_t offset, void *to, size_t bytes) {
    const part_of_file *p = ctx;
    int64_t got = plat_file_read(p->file, p->offset + offset, to, bytes);
    return got < 0 ? (int)got : got == (int64_t)bytes ? PLAT_OK : PLAT_IO_ERROR;
}

static err_code show_manifest(tools *t, const volume_source *s, err *e) {
    volume_entry *entries = NULL;
    size_t n;
    char text[24], conf[IMAGE_CONF_BYTES];
    err_code code = volume_manifest_read(s, &entries, &n, e);
    for (size_t i = 0; i < n; i++) {
        tools_out(t, "    %10s  ", fmt_bytes(text, sizeof text, entries[i].bytes));
        for (int b = 0; b < 32; b++) tools_out(t, "%02x", entries[i].sha256[b]);
        tools_out(t, "  %s\n", entries[i].name);
        bool is_conf = cstr_eq(entries[i].name, "leat.conf") && entries[i].bytes <= sizeof conf;
        if (is_conf && !s->read(s->ctx, entries[i].offset, conf, (size_t)entries[i].bytes)) {
            str rest = {conf, (size_t)entries[i].bytes};
            for (size_t at; rest.len && (at = str_find(rest, STR("\n"))) != SIZE_MAX;
                 rest = str_cut(rest, at + 1, rest.len)) {
                tools_out(t, "                ");
                tools_out_escaped(t, str_cut(rest, 0, at), SIZE_MAX, false);
                tools_out(t, "\n");
            }
        }
    }
    mem_block_free(entries);
    return code;
}

static int list(tools *t, const char *path) {
    static volume_part parts[VOLUME_PARTS_MAX];
    plat_file *file;
    size_t n = 0, shown = 0;
    bool from_backup;
    char text[24];
    err e;
    int error = plat_file_open(&file, path);
    if (error) return tools_fail(t, "%s: %s", path, plat_error_name(error));
    part_of_file all = {file, 0};
    volume_source disk = {read_part, &all, plat_file_bytes(file), VOLUME_SECTOR};
    err_code code = volume_parts(&disk, parts, &n, &from_backup, &e);
    for (size_t i = 0; i < n && !code; i++) {
        part_of_file part = {file, parts[i].offset};
        volume_source s = {read_part, &part, parts[i].bytes, VOLUME_SECTOR};
        tools_out(t, "%u: %s, %s at %llu\n", parts[i].number, parts[i].name[0] ? parts[i].name : "without a name",
                  fmt_bytes(text, sizeof text, parts[i].bytes), (unsigned long long)parts[i].offset);
        if (memcmp(parts[i].type, volume_type_leat, sizeof volume_type_leat) != 0) continue;
        code = show_manifest(t, &s, &e);
        shown++;
    }
    plat_file_close(file);
    if (code) return tools_fail(t, "%s: %s", path, e.text);
    return shown ? TOOLS_OK : tools_fail(t, "%s: no partition of leat's", path);
}

/* ---- the command ---------------------------------------------------------------------------------- */

/* Beside this program, where the build leaves it. */
static const char *find_loader(char *buf, size_t cap) {
    ssize_t n = readlink("/proc/self/exe", buf, cap - sizeof LOADER);
    while (n > 0 && buf[n - 1] != '/') n--;
    memcpy(buf + MAX(n, 0), LOADER, sizeof LOADER);
    return buf;
}

static int run(tools *t, const void *values) {
    const image_values *o = values;
    static image_plan p;
    static gguf *models[TOOLS_STRS_MAX];
    char loader[4096];
    err e;
    err_code code = ERR_NONE;
    if (o->list) return list(t, o->list);
    if (!o->models.n) return tools_usage(t, "a model is missing");
    if (!o->out) return tools_usage(t, "-o FILE is missing");
    if (o->raw && o->iso) return tools_usage(t, "--raw and --iso exclude each other");
    if (o->keys.n && !o->serve) return tools_usage(t, "--api-key wants --serve");
    if (o->raw && o->loader) return tools_usage(t, "--raw and --boot exclude each other");
    if (!o->raw) p.loader = o->loader ? o->loader : find_loader(loader, sizeof loader);
    code = add_file(&p, NULL, 0, STR("leat.conf"), &e);
    for (size_t i = 0; i < o->models.n && !code; i++) code = add_model(&p, &models[i], o->models.at[i], &e);
    if (!code) code = write_conf(&p, o, p.entries[1].name, &e);
    if (!code) code = check_out(&p, o, &e);
    if (!code) code = image_write(&p, o->out, t, &e);
    for (size_t i = 0; i < o->models.n; i++) gguf_close(models[i]);
    if (code == ERR_CANCELLED) return TOOLS_INTERRUPTED;
    if (code == ERR_ARGUMENT) return tools_usage(t, "%s", e.text);
    return code ? tools_fail_text(t, e.text) : TOOLS_OK;
}

#define T image_values
static const tools_option options[] = {
    TOOLS_ROW(TOOLS_KIND_STRS, T, models, tools_strs, 'm', "model", "FILE",
              "a GGUF file, or its first part; more may follow, with or without -m", .bare = true),
    TOOLS_STR(T, out, 'o', "output", "FILE", "the image to write"),
    TOOLS_STR(T, list, 0, "list", "FILE", "show what is in an image"),
    TOOLS_FLAG(T, serve, 0, "serve", "boot into the server, with the first model, at port 80"),
    TOOLS_STRS(T, keys, 0, "api-key", "KEY", "with --serve: answer only who sends this key; may be repeated"),
    TOOLS_STR(T, ip, 0, "ip", "HOW", "the network: dhcp, none, or ADDRESS/BITS,GATEWAY (default: dhcp)"),
    TOOLS_STRS(T, options, 0, "option", "KEY=VALUE", "a line of the configuration; may be repeated"),
    TOOLS_FLAG(T, iso, 0, "iso", "a disk that boots by itself, under BIOS and UEFI (default)"),
    TOOLS_FLAG(T, raw, 0, "raw", "no loaders and no kernel: a disk for a machine that is given leat.elf"),
    TOOLS_STR(T, loader, 0, "boot", "FILE",
              "the image with loaders and kernel (default: " LOADER " beside this program)"),
};

const tools_command hosted_image = {
    .name = "image",
    .summary = "Write a disk that boots into a model",
    .usage = "MODEL... -o FILE [--serve] [options] | --list FILE",
    .notes = "The same files and options give the same bytes. The models' partition begins with a text, the manifest, "
             "with sizes and SHA-256; `verify` at the machine's prompt reads all files and compares.",
    .options = options,
    .n_options = COUNT_OF(options),
    .values_bytes = sizeof(image_values),
    .run = run,
};
