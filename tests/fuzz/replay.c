/* replay.c: stands in for the fuzzer: runs a target over the files of a folder, each once.
 *     replay_NAME FOLDER
 * prints how many there were. When one breaks the target, its name is the last thing said.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[1024];

static void say_path(int signal_number) {
    static const char head[] = "broken by ";
    if (write(2, head, sizeof head - 1) < 0 || write(2, path, strlen(path)) < 0 || write(2, "\n", 1) < 0) _exit(3);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, say_path);
    signal(SIGSEGV, say_path);
    signal(SIGBUS, say_path);
    signal(SIGILL, say_path);
    signal(SIGFPE, say_path);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        FILE *f = fopen(path, "rb");
        if (!f) {
            fprintf(stderr, "%s cannot be read\n", path);
            return 1;
        }
        fseek(f, 0, SEEK_END);
        size_t size = (size_t)ftell(f);
        rewind(f);
        uint8_t *data = malloc(size ? size : 1); /* no larger than the input: memory checkers see its end */
        if (!data || fread(data, 1, size, f) != size) return 1;
        fclose(f);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        n++;
    }
    closedir(folder);
    printf("%d\n", n);
    return n > 0 ? 0 : 1;
}
