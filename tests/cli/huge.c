/* huge.c: writes the headers of the models that docs/STREAMING.md plans with, as sparse files: `huge-models FOLDER`. */
#include "unit/huge_model.h"

int main(int argc, char **argv) {
    static const huge_model models[] = {
        {"llama", "mixtral-8x22b", 56, 6144, 48, 8, 128, 16384, 8, 2, 32768, 65536},
        {"qwen3moe", "qwen3-30b-a3b", 48, 2048, 32, 4, 128, 768, 128, 8, 151936, 32768},
        {"qwen3moe", "large-as-deepseek-v3", 61, 7168, 128, 8, 128, 2048, 256, 8, 129280, 32768},
    };
    char path[1024];
    uint64_t size;
    if (argc != 2) return fprintf(stderr, "usage: huge-models FOLDER\n"), 2;
    for (size_t i = 0; i < COUNT_OF(models); i++) {
        snprintf(path, sizeof path, "%s/%s.gguf", argv[1], models[i].name);
        if (!huge_write(&models[i], path, &size)) {
            fprintf(stderr, "huge-models: no sparse file %s of %llu bytes\n", path, (unsigned long long)size);
            return 1;
        }
    }
    return 0;
}
