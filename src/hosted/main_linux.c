/* main_linux.c: `leat` as a Linux program. It chooses the platform and adds the commands that only this home has. */
#include "hosted/hosted.h"
#include "plat/posix/posix.h"

int main(int argc, char **argv) {
    static const tools_command *const hosted[] = {&hosted_validate, &hosted_image};
    plat_posix_start();
    argv = hosted_environment(&argc, argv);
    return tools_main(argc, argv, hosted, COUNT_OF(hosted));
}
