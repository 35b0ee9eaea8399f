/* hosted.h: the commands that only the Linux program has. */
#ifndef LEAT_HOSTED_H
#define LEAT_HOSTED_H

#include "tools/tools.h"

/* Where npm puts @node-llama-cpp/linux-x64: a libllama to compare with. */
#define VALIDATE_LIB_DEFAULT "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"

extern const tools_command hosted_validate; /* runs leat-validate, which lies beside this program */
extern const tools_command hosted_image;    /* writes what the bootable image boots from */

/* The command line with what the environment adds to it; lives as long as the program. */
char **hosted_environment(int *argc, char **argv);

#endif
