/* posix.h: what main and the tests know of the Linux home beside plat.h, and what its files share. */
#ifndef LEAT_POSIX_H
#define LEAT_POSIX_H

#include "plat/plat.h"

/* First call of main: Ctrl-C and SIGTERM raise the flag of plat_interrupted (the second one ends the process at
 * once, with 128 + the signal), a closed stdout becomes an error instead of SIGPIPE, failed assertions print. */
void plat_posix_start(void);

int posix_error(int error_number); /* errno to plat_error */
/* plat_file_read under a name of its own, for the threads of a queue. */
int64_t posix_read(plat_file *f, uint64_t offset, void *to, size_t bytes);

/* The memory that the control groups (v1 and v2, with all ancestors) grant this process; UINT64_MAX without a limit.
 * *free_bytes: what is left within it, file cache counted as free. `root` is put before every path: "" but in tests. */
uint64_t posix_group_memory(const char *root, uint64_t *free_bytes);

#endif
