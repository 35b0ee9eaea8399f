/* gpt.c: GUID partition tables, read and written. Both copies have checksums; the second one, at the disk's end, is for
 * when the first is damaged. Next: manifest.c.
 *
 * header, at block 1 and at the last block           entry, 128 bytes or more
 *  0  8 "EFI PART"      40  8 first usable block       0 16 type GUID, zero: unused
 *  8  4 revision        48  8 last usable block       16 16 its own GUID
 * 12  4 header bytes    56 16 GUID of the disk        32  8 first block
 * 16  4 CRC of header   72  8 block of the entries    40  8 last block
 * 24  8 own block       80  4 entries                 48  8 attributes
 * 32  8 other block     84  4 bytes of an entry       56 72 name, UTF-16
 *                       88  4 CRC of the entries
 */
#include "volume/volume_int.h"

enum { HEADER_BYTES = 92, ENTRY_BYTES = 128, ENTRIES_MAX = 1024, ENTRIES_WRITTEN = 128, FIRST_USABLE = 34 };

/* f0c7a5e3-6c65-6174-8d0d-6d6f64656c73, "leat" and "models" in it; and that of an EFI system partition. */
const uint8_t volume_type_leat[16] = {0xE3, 0xA5, 0xC7, 0xF0, 'e', 'l', 't', 'a',
                                      0x8D, 0x0D, 'm',  'o',  'd', 'e', 'l', 's'};
const uint8_t volume_type_efi[16] = {0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11,
                                     0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B};

static uint32_t crc32(uint32_t crc, const void *bytes, size_t n) { return ~volume_crc(CRC_32, ~crc, bytes, n); }

typedef struct table {
    uint64_t first_usable, last_usable, entries_at;
    uint32_t n, entry_bytes, crc;
} table;

/* *is: something there calls itself a header. */
static err_code read_header(const volume_source *s, uint64_t block, table *t, bool *is, err *e) {
    uint8_t h[512];
    err_code code = volume_read(s, block * s->block_bytes, h, sizeof h, "a partition table", e);
    *is = !code && memcmp(h, "EFI PART", 8) == 0;
    if (code || !*is)
        return code ? code : ERR(e, ERR_FORMAT, "no partition table at block %llu", (unsigned long long)block);
    uint32_t bytes = load_u32(h + 12), crc = load_u32(h + 16);
    if (bytes < HEADER_BYTES || bytes > sizeof h)
        return ERR(e, ERR_FORMAT, "the partition table's header has %u bytes, wanted 92 to 512", bytes);
    store_u32(h + 16, 0);
    if (crc32(0, h, bytes) != crc)
        return ERR(e, ERR_FORMAT, "the partition table at block %llu has checksum %08x, wanted %08x",
                   (unsigned long long)block, crc, crc32(0, h, bytes));
    *t = (table){load_u64(h + 40), load_u64(h + 48), load_u64(h + 72),
                 load_u32(h + 80), load_u32(h + 84), load_u32(h + 88)};
    if (load_u32(h + 8) != 0x10000 || load_u64(h + 24) != block)
        return ERR(e, ERR_FORMAT, "the partition table at block %llu is of another version or place",
                   (unsigned long long)block);
    if (t->n > ENTRIES_MAX || t->entry_bytes < ENTRY_BYTES || t->entry_bytes > 4096 || t->entry_bytes % ENTRY_BYTES)
        return ERR(e, ERR_FORMAT, "a partition table of %u entries of %u bytes, wanted at most %d of 128 or a multiple",
                   t->n, t->entry_bytes, ENTRIES_MAX);
    uint64_t blocks = s->bytes / s->block_bytes;
    if (t->first_usable > t->last_usable || t->last_usable >= blocks || t->entries_at < 1 || t->entries_at >= blocks)
        return ERR(e, ERR_FORMAT, "a partition table for blocks %llu to %llu on a disk of %llu",
                   (unsigned long long)t->first_usable, (unsigned long long)t->last_usable, (unsigned long long)blocks);
    return ERR_NONE;
}

static void take_name(volume_part *p, const uint8_t *utf16) {
    size_t n = 0;
    for (int i = 0; i < 36 && load_u16(utf16 + 2 * i); i++) {
        uint32_t unit = load_u16(utf16 + 2 * i);
        n += utf8_encode(unit < ' ' || (unit >= 0xD800 && unit < 0xE000) ? '?' : unit, p->name + n);
    }
}

static err_code take_entry(const volume_source *s, const table *t, const uint8_t *entry, uint32_t number,
                           volume_part *parts, size_t *n, err *e) {
    static const uint8_t unused[16];
    if (memcmp(entry, unused, sizeof unused) == 0) return ERR_NONE;
    uint64_t first = load_u64(entry + 32), last = load_u64(entry + 40);
    if (first < t->first_usable || last > t->last_usable || first > last)
        return ERR(e, ERR_FORMAT, "partition %u has blocks %llu to %llu, wanted inside %llu to %llu", number,
                   (unsigned long long)first, (unsigned long long)last, (unsigned long long)t->first_usable,
                   (unsigned long long)t->last_usable);
    if (*n == VOLUME_PARTS_MAX) return ERR(e, ERR_LIMIT, "more than %d partitions", VOLUME_PARTS_MAX);
    volume_part p = {.offset = first * s->block_bytes, .bytes = (last - first + 1) * s->block_bytes, .number = number};
    for (size_t i = 0; i < *n; i++)
        if (p.offset < parts[i].offset + parts[i].bytes && parts[i].offset < p.offset + p.bytes)
            return ERR(e, ERR_FORMAT, "partitions %u and %u overlap", parts[i].number, number);
    memcpy(p.type, entry, 16);
    memcpy(p.id, entry + 16, 16);
    take_name(&p, entry + 56);
    parts[(*n)++] = p;
    return ERR_NONE;
}

static err_code read_table(const volume_source *s, uint64_t block, volume_part *parts, size_t *n, bool *is, err *e) {
    table t = {0};
    *n = 0;
    err_code code = read_header(s, block, &t, is, e);
    if (code) return code;
    uint32_t crc = 0;
    uint8_t entry[ENTRY_BYTES];
    for (uint32_t pass = 0; pass < 2; pass++) /* the checksum first, so that damage is not taken for nonsense */
        for (uint64_t i = 0; i < (uint64_t)t.n * (t.entry_bytes / ENTRY_BYTES) && !code; i++) {
            uint64_t at = t.entries_at * s->block_bytes + i * ENTRY_BYTES;
            code = volume_read(s, at, entry, sizeof entry, "an entry of the partition table", e);
            if (code) break;
            if (pass == 0) crc = crc32(crc, entry, sizeof entry);
            else if (crc != t.crc)
                code = ERR(e, ERR_FORMAT, "the partitions have checksum %08x, wanted %08x", crc, t.crc);
            else if (i % (t.entry_bytes / ENTRY_BYTES) == 0)
                code = take_entry(s, &t, entry, (uint32_t)(i / (t.entry_bytes / ENTRY_BYTES)) + 1, parts, n, e);
        }
    return code;
}

err_code volume_parts(const volume_source *s, volume_part parts[VOLUME_PARTS_MAX], size_t *n, bool *from_backup,
                      err *e) {
    *n = 0;
    *from_backup = false;
    if (s->block_bytes < 512 || s->bytes / s->block_bytes < 3) return ERR_NONE;
    bool first = false, second = false;
    err_code code = read_table(s, 1, parts, n, &first, e);
    if (!code || code == ERR_IO) return code;
    err ignored;
    if (read_table(s, s->bytes / s->block_bytes - 1, parts, n, &second, &ignored) == ERR_NONE) {
        *from_backup = true;
        return ERR_NONE;
    }
    *n = 0;
    return first || second ? code : ERR_NONE;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void write_header(uint8_t *h, uint64_t own, uint64_t other, uint64_t entries_at, uint64_t blocks,
                         const uint8_t disk_id[16], uint32_t entries_crc) {
    memcpy(h, "EFI PART", 8);
    store_u32(h + 8, 0x10000);
    store_u32(h + 12, HEADER_BYTES);
    store_u64(h + 24, own);
    store_u64(h + 32, other);
    store_u64(h + 40, FIRST_USABLE);
    store_u64(h + 48, blocks - FIRST_USABLE);
    memcpy(h + 56, disk_id, 16);
    store_u64(h + 72, entries_at);
    store_u32(h + 80, ENTRIES_WRITTEN);
    store_u32(h + 84, ENTRY_BYTES);
    store_u32(h + 88, entries_crc);
    store_u32(h + 16, crc32(0, h, HEADER_BYTES));
}

void volume_gpt_write(const volume_part *parts, size_t n, uint64_t bytes, const uint8_t disk_id[16], uint8_t *head,
                      uint8_t *tail) {
    uint64_t blocks = bytes / VOLUME_SECTOR;
    memset(head, 0, VOLUME_GPT_HEAD);
    memset(tail, 0, VOLUME_GPT_TAIL);
    /* The protective MBR: one partition of type EE over all of the disk, so that older programs keep away. */
    uint8_t *row = head + 446;
    row[2] = 2;
    row[4] = 0xEE;
    row[5] = row[6] = row[7] = 0xFF;
    store_u32(row + 8, 1);
    store_u32(row + 12, (uint32_t)MIN(blocks - 1, (uint64_t)UINT32_MAX));
    store_u16(head + 510, 0xAA55);
    uint8_t *entries = head + 2 * VOLUME_SECTOR;
    for (size_t i = 0; i < n; i++) {
        uint8_t *entry = entries + ENTRY_BYTES * (parts[i].number - 1);
        memcpy(entry, parts[i].type, 16);
        memcpy(entry + 16, parts[i].id, 16);
        store_u64(entry + 32, parts[i].offset / VOLUME_SECTOR);
        store_u64(entry + 40, (parts[i].offset + parts[i].bytes) / VOLUME_SECTOR - 1);
        for (size_t c = 0; c < 36 && parts[i].name[c]; c++) entry[56 + 2 * c] = (uint8_t)parts[i].name[c];
    }
    uint32_t crc = crc32(0, entries, ENTRIES_WRITTEN * ENTRY_BYTES);
    memcpy(tail, entries, ENTRIES_WRITTEN * ENTRY_BYTES);
    write_header(head + VOLUME_SECTOR, 1, blocks - 1, 2, blocks, disk_id, crc);
    write_header(tail + 32 * VOLUME_SECTOR, blocks - 1, 1, blocks - 33, blocks, disk_id, crc);
}
