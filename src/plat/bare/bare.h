/* bare.h: plat.h where there is no operating system: over kernel/, file by file. machine.c has memory, cores and time,
 * console.c what is typed and shown, file.c the names of files (boot modules, and what disk.c finds on disks), stream.c
 * connections.
 */
#ifndef LEAT_PLAT_BARE_H
#define LEAT_PLAT_BARE_H

#include "plat/plat.h"

#endif
