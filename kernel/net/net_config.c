/* net_config.c: addresses as text: of the option ip= and the commands ip and ping. It knows no card and no lwIP, so
 * that the neighbour of the image (src/hosted/main_init.c) and `leat image` read them the same way.
 */
#include "kernel/net/net.h"

bool net_address_parse(str text, uint32_t *out) {
    uint32_t address = 0;
    for (int i = 0; i < 4; i++) {
        size_t dot = i < 3 ? str_find(text, STR(".")) : text.len;
        uint64_t byte;
        if (dot == SIZE_MAX || dot > 3 || !parse_u64(str_cut(text, 0, dot), &byte) || byte > 255) return false;
        address |= (uint32_t)byte << (8 * i);
        text = str_cut(text, dot + 1, text.len);
    }
    *out = address;
    return true;
}

const char *net_address_text(char *buf, size_t cap, uint32_t a) {
    fmt(buf, cap, "%u.%u.%u.%u", a & 255, a >> 8 & 255, a >> 16 & 255, a >> 24);
    return buf;
}

err_code net_config_parse(str text, net_config *out, err *e) {
    str rest = text;
    uint64_t bits;
    *out = (net_config){.dhcp = str_is(text, "dhcp") || str_starts(text, STR("dhcp,"))};
    if (str_is(text, "dhcp")) return ERR_NONE;
    if (out->dhcp) rest = str_cut(text, 5, text.len);
    size_t comma = MIN(str_find(rest, STR(",")), rest.len), slash = str_find(rest, STR("/"));
    if (slash > comma || !net_address_parse(str_cut(rest, 0, slash), &out->address) ||
        !parse_u64(str_cut(rest, slash + 1, comma - slash - 1), &bits) || bits < 1 || bits > 32 ||
        (comma < rest.len && !net_address_parse(str_cut(rest, comma + 1, rest.len), &out->gateway)))
        return ERR(e, ERR_ARGUMENT, "the address is '%.*s'; wanted dhcp, or as 10.0.0.2/24 or 10.0.0.2/24,10.0.0.1",
                   (int)MIN(text.len, 64), text.ptr);
    out->mask = __builtin_bswap32((uint32_t)(0xffffffff00000000 >> bits));
    return ERR_NONE;
}
