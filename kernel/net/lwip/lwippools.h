/* lwippools.h: lwIP's heap as blocks of three sizes, so that a block costs the same however full it is: what is
 * sent and not yet acknowledged, in blocks of one segment; what is larger than a packet without data; and those,
 * which always find a block, since data never takes one of theirs.
 */
LWIP_MALLOC_MEMPOOL_START
LWIP_MALLOC_MEMPOOL(4096, 160)
LWIP_MALLOC_MEMPOOL(1024, 640)
LWIP_MALLOC_MEMPOOL(3072, 1600)
LWIP_MALLOC_MEMPOOL_END
