# net.mk: lwIP, as scripts/lwip.sh unpacks it. Its files have warnings of their own, so that they are not errors here.

LWIP := build/lwip
LWIP_C := $(addprefix $(LWIP)/src/core/,def.c inet_chksum.c init.c ip.c mem.c memp.c netif.c pbuf.c raw.c tcp.c tcp_in.c \
	tcp_out.c timeouts.c udp.c ipv4/dhcp.c ipv4/etharp.c ipv4/icmp.c ipv4/ip4.c ipv4/ip4_addr.c) \
	$(LWIP)/src/netif/ethernet.c
LWIP_O := $(patsubst $(LWIP)/src/%.c,$(B)/obj/lwip/%.o,$(LWIP_C))
LWIP_FLAGS := -Ikernel/net/lwip -I$(LWIP)/src/include

$(LWIP_C) $(LWIP)/src/include/lwip/opt.h &: scripts/lwip.sh
	@scripts/lwip.sh $(LWIP)
$(LWIP_O): $(B)/obj/lwip/%.o: $(LWIP)/src/%.c $(wildcard kernel/net/lwip/*.h kernel/net/lwip/*/*.h) Makefile kernel/net/net.mk
	@mkdir -p $(@D)
	$(call say,cc      $<)
	$(Q)$(CC) -std=c11 $(COMMON) $(LWIP_FLAGS) $(FREE) -Os -w -c $< -o $@
