/* nvme.c: NVMe controllers, polled: one queue of commands and one of completions each for administration, and up to
 * DISK_QUEUES_MAX for reads. Of a controller the first active namespace is the disk.
 *
 * command, 64 bytes: 0 1 operation, 2 2 number, 4 4 namespace, 24 8 first page, 32 8 second page or list, 40 24 its own
 * completion, 16 bytes: 0 4 result, 8 2 head of the queue, 12 2 number, 14 2 phase and status
 */
#include "kernel/console/console.h"
#include "kernel/disk/disk.h"
#include "kernel/memory/memory.h"
#include "kernel/pci/pci.h"
#include "plat/plat.h"

enum { CAP = 0x00, CC = 0x14, CSTS = 0x1C, AQA = 0x24, ASQ = 0x28, ACQ = 0x30, BELLS = 0x1000 }; /* registers */
enum { CC_ON = 1 | 6 << 16 | 4 << 20 }; /* pages of 4 KiB, commands of 64 bytes, completions of 16 */
enum { OP_READ = 2, ADMIN_NEW_SQ = 1, ADMIN_NEW_CQ = 5, ADMIN_IDENTIFY = 6, ADMIN_SET_FEATURES = 9 };
enum { WHAT_NAMESPACE, WHAT_CONTROLLER, WHAT_LIST, FEATURE_QUEUES = 7, ADMIN_DEPTH = 16, PAGE = 4096 };
_Static_assert((DISK_BYTES_MAX / PAGE + 1) * 8 <= DISK_TABLE_BYTES, "the table holds the list of a command's pages");

typedef struct nvme_queue {
    uint8_t *commands, *completions;
    volatile uint32_t *tail_bell, *head_bell;
    uint16_t depth, tail, head, phase;
} nvme_queue;

typedef struct nvme {
    volatile uint8_t *registers;
    uint32_t bell_bytes, namespace;
    uint64_t timeout_ns;
    nvme_queue admin, io[DISK_QUEUES_MAX];
    uint8_t *page; /* of answers of the controller */
} nvme;

static uint32_t get(const nvme *n, uint32_t at) { return *(volatile uint32_t *)(n->registers + at); }
static void put(const nvme *n, uint32_t at, uint32_t v) { *(volatile uint32_t *)(n->registers + at) = v; }
static void put64(const nvme *n, uint32_t at, uint64_t v) {
    put(n, at, (uint32_t)v);
    put(n, at + 4, (uint32_t)(v >> 32));
}

static bool open_queue(const nvme *n, nvme_queue *q, uint32_t number, uint16_t depth) {
    *q = (nvme_queue){.depth = depth, .phase = 1};
    q->commands = memory_pages((size_t)depth * 64);
    q->completions = memory_pages((size_t)depth * 16);
    q->tail_bell = (volatile uint32_t *)(n->registers + BELLS + (size_t)2 * number * n->bell_bytes);
    q->head_bell = (volatile uint32_t *)(n->registers + BELLS + ((size_t)2 * number + 1) * n->bell_bytes);
    return q->commands && q->completions;
}

static void send_command(nvme_queue *q, const uint8_t command[64]) {
    memcpy(q->commands + (size_t)q->tail * 64, command, 64);
    q->tail = (uint16_t)((q->tail + 1) % q->depth);
    atomic_thread_fence(memory_order_release);
    *q->tail_bell = q->tail;
}

/* The next completion: false when there is none. status: 0 for success. */
static bool take(nvme_queue *q, uint16_t *number, uint32_t *status, uint32_t *result) {
    volatile uint8_t *c = q->completions + (size_t)q->head * 16;
    uint16_t end = *(volatile uint16_t *)(c + 14);
    if ((end & 1) != q->phase) return false;
    atomic_thread_fence(memory_order_acquire);
    *number = *(volatile uint16_t *)(c + 12);
    *result = *(volatile uint32_t *)c;
    *status = end >> 1;
    if (++q->head == q->depth) q->head = 0, q->phase ^= 1;
    return true;
}

/* ---- reads ---------------------------------------------------------------------------------------- */

static void send(disk *d, uint32_t queue, uint32_t slot, const disk_piece *pieces, uint32_t n) {
    nvme *v = d->state;
    disk_command *c = &d->queue[queue]->command[slot];
    uint8_t command[64] = {OP_READ};
    uint32_t n_pages = 0;
    /* Pages but the first begin where a page begins; what the first two need stands in the command. */
    for (uint32_t i = 0; i < n; i++)
        for (uint64_t at = pieces[i].physical, end = at + pieces[i].bytes; at < end; at = (at / PAGE + 1) * PAGE) {
            if (n_pages) store_u64(c->table + 8 * (size_t)(n_pages - 1), at);
            else store_u64(command + 24, at);
            n_pages++;
        }
    store_u16(command + 2, (uint16_t)slot);
    store_u32(command + 4, v->namespace);
    if (n_pages == 2) memcpy(command + 32, c->table, 8);
    else if (n_pages > 2) store_u64(command + 32, memory_physical(c->table));
    store_u64(command + 40, c->block);
    store_u32(command + 48, c->n_blocks - 1);
    send_command(&v->io[queue], command);
}

static void poll(disk *d, uint32_t queue) {
    nvme_queue *q = &((nvme *)d->state)->io[queue];
    uint16_t slot;
    uint32_t status, result;
    bool any = false;
    while (take(q, &slot, &status, &result)) {
        disk_finished(d, queue, slot, status & 0x7FFF);
        any = true;
    }
    if (any) *q->head_bell = q->head;
}

static bool wait_ready(const nvme *n, uint32_t wanted) {
    uint64_t until = cpu_time_ns() + n->timeout_ns;
    while ((get(n, CSTS) & 1) != wanted) {
        if ((get(n, CSTS) & 2) || cpu_time_ns() > until) return false;
        cpu_pause();
    }
    return true;
}

static void off(disk *d) {
    nvme *n = d->state;
    put(n, CC, 0);
    wait_ready(n, 0);
}

static const disk_driver driver = {send, poll, off};

/* ---- the start ------------------------------------------------------------------------------------ */

/* Fills `page`, if the command says so; 0 for success. */
static uint32_t administrate(nvme *n, uint8_t operation, uint32_t space, const void *memory, uint32_t d10, uint32_t d11,
                             uint32_t *result) {
    uint8_t command[64] = {operation};
    uint16_t number;
    uint32_t status = UINT32_MAX, unused;
    store_u32(command + 4, space);
    store_u64(command + 24, memory ? memory_physical(memory) : 0);
    store_u32(command + 40, d10);
    store_u32(command + 44, d11);
    send_command(&n->admin, command);
    uint64_t until = cpu_time_ns() + n->timeout_ns;
    while (!take(&n->admin, &number, &status, result ? result : &unused)) {
        if (cpu_time_ns() > until) return UINT32_MAX;
        cpu_pause();
    }
    *n->admin.head_bell = n->admin.head;
    return status & 0x7FFF;
}

static bool switch_on(nvme *n) {
    uint64_t cap = get(n, CAP) | (uint64_t)get(n, CAP + 4) << 32;
    n->timeout_ns = MAX(cap >> 24 & 0xFF, 1u) * 500000000;
    n->bell_bytes = 4u << (cap >> 32 & 15);
    put(n, CC, get(n, CC) & ~1u);
    if ((cap >> 48 & 15) || n->bell_bytes > 64 || !wait_ready(n, 0) || !open_queue(n, &n->admin, 0, ADMIN_DEPTH))
        return false;
    put(n, AQA, (ADMIN_DEPTH - 1) << 16 | (ADMIN_DEPTH - 1));
    put64(n, ASQ, memory_physical(n->admin.commands));
    put64(n, ACQ, memory_physical(n->admin.completions));
    put(n, CC, CC_ON);
    return wait_ready(n, 1);
}

static bool identify(nvme *n, disk *d) {
    uint8_t *page = n->page;
    if (administrate(n, ADMIN_IDENTIFY, 0, page, WHAT_CONTROLLER, 0, NULL)) return false;
    str model = str_trim((str){(const char *)page + 24, 40});
    fmt(d->model, sizeof d->model, "%.*s", (int)model.len, model.ptr);
    d->bytes_max = page[77] && page[77] < 8 ? (uint32_t)PAGE << page[77] : DISK_BYTES_MAX;
    /* The list came with version 1.1; older ones begin at 1. */
    n->namespace = administrate(n, ADMIN_IDENTIFY, 0, page, WHAT_LIST, 0, NULL) ? 1 : load_u32(page);
    if (n->namespace && load_u32(page + 4)) console_log("%s: only the first of its namespaces is used", d->name);
    if (!n->namespace || administrate(n, ADMIN_IDENTIFY, n->namespace, page, WHAT_NAMESPACE, 0, NULL)) return false;
    uint32_t format = load_u32(page + 128 + 4 * (size_t)(page[26] & 15)), log = format >> 16 & 0xFF;
    d->n_blocks = load_u64(page);
    d->block_bytes = log == 9 || log == 12 ? 1u << log : 0;
    if (format & 0xFFFF) d->block_bytes = 0; /* metadata between the blocks */
    return true;
}

static bool open_io(nvme *n, disk *d) {
    uint32_t granted = 0, wanted = DISK_QUEUES_MAX - 1, depth = MIN(get(n, CAP) & 0xFFFF, (uint32_t)DISK_DEPTH_MAX) + 1;
    if (administrate(n, ADMIN_SET_FEATURES, 0, NULL, FEATURE_QUEUES, wanted << 16 | wanted, &granted)) return false;
    d->n_queues = MIN(MIN(granted & 0xFFFF, granted >> 16), wanted) + 1;
    d->depth = depth - 1; /* a ring is full with one place left */
    for (uint32_t i = 0; i < d->n_queues; i++) {
        nvme_queue *q = &n->io[i];
        uint32_t size = (depth - 1) << 16 | (i + 1);
        if (!open_queue(n, q, i + 1, (uint16_t)depth)) return false;
        if (administrate(n, ADMIN_NEW_CQ, 0, q->completions, size, 1, NULL) ||
            administrate(n, ADMIN_NEW_SQ, 0, q->commands, size, (i + 1) << 16 | 1, NULL))
            return false;
    }
    return true;
}

void disk_find_nvme(void) {
    for (size_t i = 0; i < pci_count(); i++) {
        const pci_device *p = pci_at(i);
        if (p->class != 1 || p->subclass != 8 || p->interface != 2) continue;
        nvme *n = memory_pages(sizeof *n);
        disk *d = n && (n->page = memory_pages(PAGE)) ? disk_new("nvme") : NULL;
        if (!d) return;
        pci_enable(p);
        n->registers = pci_map(p, 0, 0, BELLS + 2 * (DISK_QUEUES_MAX + 1) * 64);
        d->driver = &driver;
        d->state = n;
        d->pieces_max = DISK_PIECES_MAX;
        bool ok = n->registers && switch_on(n) && identify(n, d) && open_io(n, d);
        if (!ok)
            console_log("%s: the controller at %02x:%02x.%x does not start", d->name, p->bus, p->slot, p->function);
        if ((!ok || !disk_add(d)) && n->registers) off(d);
    }
}
