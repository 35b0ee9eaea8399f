/* main_linux.c: `leat` as a Linux program. All it does is to choose the platform. */
#include "plat/posix/posix.h"
#include "tools/tools.h"

int main(int argc, char **argv) {
    plat_posix_start();
    return tools_main(argc, argv, NULL, 0);
}
