/* hosted.h: the commands that only the Linux program has. */
#ifndef LEAT_HOSTED_H
#define LEAT_HOSTED_H

#include "tools/tools.h"

extern const tools_command hosted_validate; /* runs leat-validate, which lies beside this program */

#endif
