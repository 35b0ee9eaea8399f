/* state_folder.h: the folder of the user's state, as tests have it, and what leat keeps there. */
#ifndef LEAT_TEST_STATE_FOLDER_H
#define LEAT_TEST_STATE_FOLDER_H

#include "check.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

/* The file there whose name begins so, or "". */
static const char *state_file(const char *state, const char *prefix) {
    static char path[900];
    char dir[600];
    path[0] = 0;
    snprintf(dir, sizeof dir, "%s/leat", state);
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && !strstr(entry->d_name, ".part"))
            snprintf(path, sizeof path, "%.500s/%.300s", dir, entry->d_name);
    if (d) closedir(d);
    return path;
}

/* Makes test file `number` of this name that folder. A file of the prefix that an interrupted run left there goes. */
static const char *state_folder(int number, const char *name, const char *prefix) {
    static char state[512];
    const char *path = test_path(number, name);
    char here[256] = "";
    CHECK(*path == '/' || getcwd(here, sizeof here - 1)); /* it must be absolute */
    snprintf(state, sizeof state, "%s%s%s", *path == '/' ? "" : here, *path == '/' ? "" : "/", path);
    setenv("XDG_STATE_HOME", state, 1);
    remove(state_file(state, prefix));
    return state;
}

#endif
