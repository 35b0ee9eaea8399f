/* ext4.c: files of an ext4 file system: superblock, groups, inodes, folders, extents. Refused: file systems that were
 * not unmounted (their journal says more than we read), and features that change what we read (encryption, inline data,
 * files in block maps of ext2 and ext3). Checksums are verified where the file system has them.
 *
 * superblock, byte 1024                inode                           extent header, 12 bytes
 * 0x00 4 inodes   0x60 4 incompat      0x00 2 mode                     0 2 F30A   4 2 room
 * 0x04 4 blocks   0x64 4 ro_compat     0x04 4 bytes, low               2 2 rows   6 2 depth
 * 0x14 4 first    0x68 16 UUID         0x20 4 flags                    row of a leaf: 0 4 first block of the file,
 * 0x18 4 log size 0xFE 2 group bytes   0x28 60 the tree's root           4 2 length, 6 2 high and 8 4 low of the block
 * 0x20 4 per group 0x150 4 blocks high 0x64 4 generation               row of an index: 0 4 first block of the file,
 * 0x28 4 inodes per group              0x6C 4 bytes, high                4 4 low and 8 2 high of the block of its child
 * 0x38 2 EF53     0x270 4 seed         0x7C 2, 0x82 2 checksum         after the rows: 4 checksum, but not in an inode
 * 0x58 2 inode bytes 0x3FC 4 checksum  0x80 2 bytes beyond 128
 */
#include "volume/volume_int.h"

enum { SUPERBLOCK_AT = 1024, SUPERBLOCK_BYTES = 1024, MAGIC = 0xEF53, EXTENT_MAGIC = 0xF30A };
enum { ROOT_INODE = 2, ROOT_BYTES = 60 };
enum { INODE_MAX = 4096, DEPTH_MAX = 5, FOLDERS_MAX = 32, EXTENTS_MAX = 1 << 18, FOLDER_BYTES_MAX = 64 << 20 };
/* Features; of an inode, flags and kinds. */
enum { HAS_TYPES = 0x2, WANTS_RECOVERY = 0x4, HAS_EXTENTS = 0x40, HAS_64BIT = 0x80, WAITS_FOR_MOUNT = 0x100,
       HAS_FLEX = 0x200, HAS_EA_INODES = 0x400, HAS_SEED = 0x2000, HAS_LARGE_FOLDERS = 0x4000, RO_CHECKSUMS = 0x400,
       KNOWN = HAS_TYPES | HAS_EXTENTS | HAS_64BIT | WAITS_FOR_MOUNT | HAS_FLEX | HAS_EA_INODES | HAS_SEED |
               HAS_LARGE_FOLDERS };
enum { INODE_HAS_EXTENTS = 0x80000, INODE_REFUSED = 0x10000800 }; /* inline data, encrypted */
enum { KIND = 0xF000, KIND_FOLDER = 0x4000, KIND_FILE = 0x8000 };

struct ext4 {
    const volume_source *source;
    uint64_t n_blocks;
    uint32_t n_inodes, inodes_per_group, inode_bytes, group_bytes, block_bytes, first_block, seed;
    bool checks;
    uint8_t inode[INODE_MAX];
    uint8_t *block; /* (DEPTH_MAX + 1, block_bytes): a node of each depth; the first one serves folders, too */
};

typedef struct inode {
    uint32_t number, mode, flags, seed; /* seed: of the checksums of its blocks */
    uint64_t bytes;
    uint8_t root[ROOT_BYTES];
} inode;

static uint32_t crc32c(uint32_t crc, const void *bytes, size_t n) { return volume_crc(CRC_32C, crc, bytes, n); }

bool volume_ext4_is(const uint8_t *superblock) { return load_u16(superblock + 0x38) == MAGIC; }

/* ---- the file system ---------------------------------------------------------------------------------- */

static err_code check_features(const uint8_t *s, err *e) {
    uint32_t incompat = load_u32(s + 0x60);
    if (incompat & WANTS_RECOVERY)
        return ERR(e, ERR_UNSUPPORTED,
                   "the ext4 file system was not unmounted; mount and unmount it under Linux first");
    if ((incompat & ~(uint32_t)KNOWN) || !(incompat & HAS_EXTENTS) || !(incompat & HAS_TYPES))
        return ERR(e, ERR_UNSUPPORTED, "an ext4 file system with features %x, wanted extents and no others than %x",
                   incompat, KNOWN);
    if ((load_u32(s + 0x64) & RO_CHECKSUMS) && crc32c(UINT32_MAX, s, 0x3FC) != load_u32(s + 0x3FC))
        return ERR(e, ERR_FORMAT, "the ext4 superblock has checksum %08x, wanted %08x", load_u32(s + 0x3FC),
                   crc32c(UINT32_MAX, s, 0x3FC));
    return ERR_NONE;
}

static err_code take_superblock(ext4 *x, const uint8_t *s, err *e) {
    err_code code = check_features(s, e);
    if (code) return code;
    uint32_t log = load_u32(s + 0x18), incompat = load_u32(s + 0x60), blocks_per_group = load_u32(s + 0x20);
    bool wide = incompat & HAS_64BIT;
    x->n_inodes = load_u32(s);
    x->n_blocks = load_u32(s + 4) | (wide ? (uint64_t)load_u32(s + 0x150) << 32 : 0);
    x->first_block = load_u32(s + 0x14);
    x->inodes_per_group = load_u32(s + 0x28);
    x->inode_bytes = load_u16(s + 0x58);
    x->group_bytes = wide ? load_u16(s + 0xFE) : 32;
    x->checks = load_u32(s + 0x64) & RO_CHECKSUMS;
    x->seed = incompat & HAS_SEED ? load_u32(s + 0x270) : crc32c(UINT32_MAX, s + 0x68, 16);
    if (log > 5) return ERR(e, ERR_UNSUPPORTED, "ext4 blocks of 2^%u KiB, wanted at most 32 KiB", log);
    x->block_bytes = 1024u << log;
    if (x->n_blocks > x->source->bytes / x->block_bytes || x->n_blocks < 2 || x->first_block != (log ? 0 : 1))
        return ERR(e, ERR_FORMAT, "ext4 of %llu blocks of %u bytes on a partition of %llu bytes",
                   (unsigned long long)x->n_blocks, x->block_bytes, (unsigned long long)x->source->bytes);
    if (x->inode_bytes < 128 || x->inode_bytes > MIN(x->block_bytes, (uint32_t)INODE_MAX) ||
        (x->inode_bytes & (x->inode_bytes - 1)) || !x->inodes_per_group || !blocks_per_group || x->group_bytes < 32 ||
        x->group_bytes > 1024 || (wide && x->group_bytes < 64))
        return ERR(e, ERR_FORMAT, "ext4 inodes of %u bytes, %u a group, groups of %u blocks and %u bytes",
                   x->inode_bytes, x->inodes_per_group, blocks_per_group, x->group_bytes);
    return ERR_NONE;
}

err_code volume_ext4_open(ext4 **out, const volume_source *s, err *e) {
    uint8_t superblock[SUPERBLOCK_BYTES];
    *out = NULL;
    err_code code = volume_read(s, SUPERBLOCK_AT, superblock, sizeof superblock, "the superblock", e);
    if (code) return code;
    ext4 *x = mem_block(MEM_ENGINE, sizeof *x);
    if (!x) return ERR(e, ERR_MEMORY, "no memory for a file system");
    x->source = s;
    code = take_superblock(x, superblock, e);
    if (!code) x->block = mem_block(MEM_ENGINE, (size_t)x->block_bytes * (DEPTH_MAX + 1));
    if (!code && !x->block) code = ERR(e, ERR_MEMORY, "no memory for blocks of a file system");
    if (code) volume_ext4_close(x);
    else *out = x;
    return code;
}

void volume_ext4_close(ext4 *x) {
    if (!x) return;
    mem_block_free(x->block);
    mem_block_free(x);
}

/* ---- inodes ------------------------------------------------------------------------------------------- */

static bool inode_checks(const ext4 *x, const uint8_t *raw, uint32_t seed) {
    static const uint8_t zeros[2];
    bool has_high = x->inode_bytes > 128 && load_u16(raw + 0x80) >= 4;
    uint32_t crc = crc32c(seed, raw, 0x7C);
    crc = crc32c(crc, zeros, 2);
    crc = crc32c(crc, raw + 0x7E, has_high ? 4 : x->inode_bytes - 0x7E);
    if (has_high) crc = crc32c(crc32c(crc, zeros, 2), raw + 0x84, x->inode_bytes - 0x84);
    return (crc & 0xFFFF) == load_u16(raw + 0x7C) && (!has_high || crc >> 16 == load_u16(raw + 0x82));
}

static err_code read_inode(ext4 *x, uint32_t number, inode *out, err *e) {
    if (!number || number > x->n_inodes)
        return ERR(e, ERR_FORMAT, "ext4 inode %u, wanted 1 to %u", number, x->n_inodes);
    uint32_t group = (number - 1) / x->inodes_per_group, within = (number - 1) % x->inodes_per_group;
    uint8_t g[64] = {0};
    uint64_t at = ((uint64_t)x->first_block + 1) * x->block_bytes + (uint64_t)group * x->group_bytes;
    err_code code = volume_read(x->source, at, g, MIN(x->group_bytes, (uint32_t)sizeof g), "a group of ext4", e);
    if (code) return code;
    uint64_t table = load_u32(g + 8) | (x->group_bytes >= 64 ? (uint64_t)load_u32(g + 0x28) << 32 : 0);
    if (table >= x->n_blocks)
        return ERR(e, ERR_FORMAT, "the inodes of ext4 group %u are at block %llu, wanted below %llu", group,
                   (unsigned long long)table, (unsigned long long)x->n_blocks);
    at = table * x->block_bytes + (uint64_t)within * x->inode_bytes;
    code = volume_read(x->source, at, x->inode, x->inode_bytes, "an inode of ext4", e);
    if (code) return code;
    const uint8_t *raw = x->inode;
    uint32_t seed = crc32c(crc32c(x->seed, &number, 4), raw + 0x64, 4);
    if (x->checks && !inode_checks(x, raw, seed))
        return ERR(e, ERR_FORMAT, "ext4 inode %u is damaged: its checksum is another one", number);
    *out = (inode){.number = number, .mode = load_u16(raw), .flags = load_u32(raw + 0x20), .seed = seed};
    out->bytes = load_u32(raw + 4) | (uint64_t)load_u32(raw + 0x6C) << 32;
    memcpy(out->root, raw + 0x28, ROOT_BYTES);
    if ((out->flags & INODE_REFUSED) || !(out->flags & INODE_HAS_EXTENTS))
        return ERR(e, ERR_UNSUPPORTED, "ext4 inode %u has flags %x, wanted extents, no inline data and no encryption",
                   number, out->flags);
    return ERR_NONE;
}

/* ---- extents ------------------------------------------------------------------------------------------ */

typedef struct walk {
    ext4 *x;
    const inode *of;
    volume_extent *extents; /* NULL on the first pass, which counts */
    size_t n, nodes;
    uint64_t next; /* rows must come in order: the file's first block that may follow */
} walk;

static err_code take_extent(walk *w, const uint8_t *row, err *e) {
    ext4 *x = w->x;
    uint32_t from = load_u32(row), n = load_u16(row + 4);
    uint64_t at = (uint64_t)load_u16(row + 6) << 32 | load_u32(row + 8);
    bool is_written = n <= 32768; /* longer by that much: reserved, reads as zeros */
    if (!is_written) n -= 32768;
    if (!n || from < w->next || at >= x->n_blocks || n > x->n_blocks - at)
        return ERR(e, ERR_FORMAT,
                   "an extent of ext4 inode %u: blocks %llu to %llu of %llu for its block %u, wanted from %llu",
                   w->of->number, (unsigned long long)at, (unsigned long long)(at + n), (unsigned long long)x->n_blocks,
                   from, (unsigned long long)w->next);
    w->next = (uint64_t)from + n;
    uint64_t start = (uint64_t)from * x->block_bytes, size = (uint64_t)n * x->block_bytes, place = at * x->block_bytes;
    if (!is_written || start >= w->of->bytes) return ERR_NONE;
    if (w->n == EXTENTS_MAX)
        return ERR(e, ERR_LIMIT, "ext4 inode %u has more than %d extents", w->of->number, EXTENTS_MAX);
    if (w->extents) w->extents[w->n] = (volume_extent){start, place, size};
    w->n++;
    return ERR_NONE;
}

/* A node of at most `bytes`; depth: what its parent makes of it, or -1 for the root. */
static err_code walk_node(walk *w, const uint8_t *node, size_t bytes, int depth, err *e) {
    ext4 *x = w->x;
    uint32_t rows = load_u16(node + 2), room = load_u16(node + 4), own_depth = load_u16(node + 6);
    size_t fits = (bytes - 12) / 12;
    if (load_u16(node) != EXTENT_MAGIC || rows > room || room > fits || (!rows && depth >= 0) ||
        own_depth > DEPTH_MAX || (depth >= 0 && own_depth != (uint32_t)depth))
        return ERR(e, ERR_FORMAT, "a node of ext4 inode %u has magic %x, %u of %u rows, depth %u", w->of->number,
                   load_u16(node), rows, room, own_depth);
    if (x->checks && depth >= 0 &&
        (12 + (size_t)room * 12 + 4 > bytes ||
         crc32c(w->of->seed, node, 12 + (size_t)room * 12) != load_u32(node + 12 + (size_t)room * 12)))
        return ERR(e, ERR_FORMAT, "a node of ext4 inode %u is damaged: its checksum is another one", w->of->number);
    if (++w->nodes > EXTENTS_MAX)
        return ERR(e, ERR_LIMIT, "ext4 inode %u has more than %d nodes", w->of->number, EXTENTS_MAX);
    err_code code = ERR_NONE;
    for (uint32_t i = 0; i < rows && !code; i++) {
        const uint8_t *row = node + 12 + 12 * (size_t)i;
        if (!own_depth) {
            code = take_extent(w, row, e);
            continue;
        }
        uint64_t at = (uint64_t)load_u16(row + 8) << 32 | load_u32(row + 4);
        if (at >= x->n_blocks)
            return ERR(e, ERR_FORMAT, "a node of ext4 inode %u is at block %llu", w->of->number,
                       (unsigned long long)at);
        uint8_t *child = x->block + (size_t)x->block_bytes * own_depth;
        code = volume_read(x->source, at * x->block_bytes, child, x->block_bytes, "a node of ext4", e);
        if (!code) code = walk_node(w, child, x->block_bytes, (int)own_depth - 1, e);
    }
    return code;
}

static err_code read_extents(ext4 *x, const inode *of, volume_file *out, err *e) {
    *out = (volume_file){.bytes = of->bytes, .id = of->number};
    walk w = {.x = x, .of = of};
    err_code code = walk_node(&w, of->root, ROOT_BYTES, -1, e);
    if (code || !w.n) return code;
    out->extents = mem_block(MEM_ENGINE, w.n * sizeof *out->extents);
    if (!out->extents) return ERR(e, ERR_MEMORY, "no memory for %zu extents", w.n);
    size_t n = w.n;
    w = (walk){.x = x, .of = of, .extents = out->extents};
    code = walk_node(&w, of->root, ROOT_BYTES, -1, e);
    if (!code && w.n != n) code = ERR(e, ERR_IO, "ext4 inode %u changed while it was read", of->number);
    for (size_t i = 0; i < w.n && !code; i++) { /* what continues another one becomes part of it */
        volume_extent *last = out->n ? &out->extents[out->n - 1] : NULL, *now = &out->extents[i];
        if (last && last->from + last->bytes == now->from && last->at + last->bytes == now->at)
            last->bytes += now->bytes;
        else out->extents[out->n++] = *now;
    }
    if (code) volume_file_free(out);
    return code;
}

/* ---- folders ------------------------------------------------------------------------------------------ */

/* True: enough seen. */
typedef bool see_entry(void *ctx, uint32_t number, str name);

static err_code walk_block(ext4 *x, const inode *folder, see_entry *see, void *ctx, bool *enough, err *e) {
    const uint8_t *b = x->block;
    size_t bytes = x->block_bytes, tail = bytes - 12;
    bool has_tail = !load_u32(b + tail) && load_u16(b + tail + 4) == 12 && load_u16(b + tail + 6) == 0xDE00;
    if (x->checks && has_tail && crc32c(folder->seed, b, tail) != load_u32(b + tail + 8))
        return ERR(e, ERR_FORMAT, "a block of the folder ext4 inode %u is damaged: its checksum is another one",
                   folder->number);
    for (size_t at = 0; at < bytes && !*enough;) {
        uint32_t number = bytes - at < 8 ? 0 : load_u32(b + at), length = bytes - at < 8 ? 0 : load_u16(b + at + 4);
        uint32_t name_bytes = length ? b[at + 6] : 0;
        if (length < 8 + name_bytes || length % 4 || length > bytes - at)
            return ERR(e, ERR_FORMAT, "an entry of the folder ext4 inode %u has %u bytes at %zu of %zu", folder->number,
                       length, at, bytes);
        if (number && name_bytes) *enough = see(ctx, number, (str){(const char *)b + at + 8, name_bytes});
        at += length;
    }
    return ERR_NONE;
}

static err_code walk_folder(ext4 *x, const inode *folder, see_entry *see, void *ctx, err *e) {
    if ((folder->mode & KIND) != KIND_FOLDER) return ERR(e, ERR_ARGUMENT, "ext4 inode %u is no folder", folder->number);
    if (folder->bytes > FOLDER_BYTES_MAX || folder->bytes % x->block_bytes)
        return ERR(e, ERR_FORMAT, "the folder ext4 inode %u has %llu bytes, wanted at most %d and whole blocks",
                   folder->number, (unsigned long long)folder->bytes, FOLDER_BYTES_MAX);
    volume_file f;
    bool enough = false;
    err_code code = read_extents(x, folder, &f, e);
    for (size_t i = 0; i < f.n && !code; i++)
        for (uint64_t at = 0; at < f.extents[i].bytes && f.extents[i].from + at < folder->bytes && !code && !enough;
             at += x->block_bytes) {
            code = volume_read(x->source, f.extents[i].at + at, x->block, x->block_bytes, "a folder of ext4", e);
            if (!code) code = walk_block(x, folder, see, ctx, &enough, e);
        }
    volume_file_free(&f);
    return code;
}

typedef struct wanted {
    str name;
    uint32_t number;
} wanted;

static bool is_wanted(void *ctx, uint32_t number, str name) {
    wanted *w = ctx;
    if (!str_eq(name, w->name)) return false;
    w->number = number;
    return true;
}

/* The inode of a path, from the root. */
static err_code resolve(ext4 *x, str path, inode *at, err *e) {
    err_code code = read_inode(x, ROOT_INODE, at, e);
    for (int depth = 0; path.len && !code; depth++) {
        size_t n = MIN(str_find(path, STR("/")), path.len);
        wanted w = {str_cut(path, 0, n), 0};
        path = str_cut(path, n + (n < path.len), path.len);
        if (!w.name.len) continue;
        if (depth == FOLDERS_MAX) return ERR(e, ERR_LIMIT, "a path of more than %d names", FOLDERS_MAX);
        code = walk_folder(x, at, is_wanted, &w, e);
        if (!code && !w.number)
            code = ERR(e, ERR_ARGUMENT, "no file '%.*s' on this ext4 volume", (int)MIN(w.name.len, (size_t)100),
                       w.name.ptr);
        if (!code) code = read_inode(x, w.number, at, e);
    }
    return code;
}

err_code volume_ext4_find(ext4 *x, str path, volume_file *out, err *e) {
    inode at;
    err_code code = resolve(x, path, &at, e);
    if (!code && (at.mode & KIND) != KIND_FILE)
        code = ERR(e, ERR_ARGUMENT, "'%.*s' is no plain file", (int)MIN(path.len, (size_t)100), path.ptr);
    return code ? code : read_extents(x, &at, out, e);
}

/* What is found while its folder is read is looked up only afterwards: both use the same block. */
typedef struct listing {
    ext4 *x;
    uint32_t skip, seen, number;
    char name[256];
    size_t name_bytes;
} listing;

static bool take_nth(void *ctx, uint32_t number, str name) {
    listing *l = ctx;
    if (str_is(name, ".") || str_is(name, "..") || l->seen++ < l->skip) return false;
    l->number = number;
    memcpy(l->name, name.ptr, name.len);
    l->name_bytes = name.len;
    return true;
}

err_code volume_ext4_list(ext4 *x, str path, volume_each *each, void *ctx, err *e) {
    enum { LISTED_MAX = 4096 };
    inode folder, item;
    err ignored;
    err_code code = resolve(x, path, &folder, e);
    for (uint32_t i = 0; i < LISTED_MAX && !code; i++) {
        listing l = {.x = x, .skip = i};
        code = walk_folder(x, &folder, take_nth, &l, e);
        if (code || !l.number) break;
        if (read_inode(x, l.number, &item, &ignored)) continue; /* one bad file does not hide the others */
        bool is_folder = (item.mode & KIND) == KIND_FOLDER;
        if (is_folder || (item.mode & KIND) == KIND_FILE) each(ctx, (str){l.name, l.name_bytes}, item.bytes, is_folder);
    }
    return code;
}
