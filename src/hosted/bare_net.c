/* bare_net.c: the network as commands of the prompt. */
#include "hosted/bare.h"
#include "kernel/net/net.h"

#define PINGS 4
#define ADDRESS_WAIT_S 20
#define PING_NS ((uint64_t)1000000000) /* from one to the next, and as long an answer is waited for */

static int show(tools *t, size_t (*text_of)(char *buf, size_t cap)) {
    static char text[32768]; /* 640 connections */
    tools_out_bytes(t, text, text_of(text, sizeof text));
    return TOOLS_OK;
}

static int net_run(tools *t, const void *values) { return (void)values, show(t, net_describe); }
static int ss_run(tools *t, const void *values) { return (void)values, show(t, net_connections); }

static int ip_run(tools *t, const void *values) {
    const bare_word *o = values;
    net_config c;
    err e;
    if (!o->word) return show(t, net_describe);
    if (net_config_parse(str_of(o->word), &c, &e) != ERR_NONE) return tools_usage(t, "%s", e.text);
    net_configure(&c);
    return TOOLS_OK;
}

static int ping_run(tools *t, const void *values) {
    const char *where = ((const bare_word *)values)->word;
    uint32_t address;
    int n_answers = 0;
    if (!where || !net_address_parse(str_of(where), &address))
        return tools_usage(t, "'%.64s' is no address; wanted one as 10.0.0.1", where ? where : "");
    for (int i = 0; i < ADDRESS_WAIT_S * 100 && net_is_open() && !net_address() && !plat_interrupted(); i++)
        plat_sleep_ns(PING_NS / 100); /* after the start DHCP may still be asked */
    for (int i = 0; i < PINGS && !plat_interrupted(); i++) {
        uint64_t from = plat_time_ns(), took;
        int64_t ns = net_ping(address, PING_NS);
        if (ns >= 0) tools_out(t, "%s: %.3f ms\n", where, (double)ns / 1e6);
        else tools_out(t, "%s: %s\n", where, ns == PLAT_NOT_FOUND ? "no answer" : plat_error_name((int)ns));
        tools_out_flush(t);
        n_answers += ns >= 0;
        took = plat_time_ns() - from;
        if (i + 1 < PINGS && took < PING_NS) plat_sleep_ns(PING_NS - took);
    }
    return n_answers ? TOOLS_OK : TOOLS_FAILED;
}

const tools_command bare_net_commands[] = {
    BARE_COMMAND(net, "Show the network"),
    BARE_COMMAND_WORD(ip, "ADDRESS", "Show or set the address", "dhcp, or ADDRESS/BITS,GATEWAY as in the option ip="),
    BARE_COMMAND_WORD(ping, "ADDRESS", "Ask whether another machine answers", "its address"),
    BARE_COMMAND(ss, "List the connections"),
    {0},
};
