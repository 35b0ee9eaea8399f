/* cpu_plain.c: an architecture without a level of its own.
 */
#include "kern/kern_int.h"

const kern *const kern_levels[] = {&kern_scalar, NULL};
uint32_t kern_cpu_features(void) { return 0; }
