/* cpu_plain.c: an architecture without a level of its own.
 */
#include "kern/kern_int.h"

uint32_t kern_cpu_features(uint32_t *withheld) {
    if (withheld) *withheld = 0;
    return 0;
}
