/* tmpl_filters.h: what the files of filters, tests and methods share. */
#ifndef LEAT_TMPL_FILTERS_H
#define LEAT_TMPL_FILTERS_H

#include "tmpl/tmpl_int.h"

extern const callable tmpl_list_filters[];
extern const size_t tmpl_n_list_filters;

/* Filters that are methods of strings too. */
val tmpl_run_upper(render *r, const call *c, const val *p);
val tmpl_run_lower(render *r, const call *c, const val *p);
val tmpl_run_capitalize(render *r, const call *c, const val *p);

bool tmpl_want_int(render *r, val v, int64_t *out); /* fails for what is no integer */
str tmpl_strip_chars(str s, str chars, bool left, bool right);
str tmpl_center(render *r, str s, int64_t width, str fill);
const char *tmpl_cstr(render *r, str s);
bool tmpl_is_word(uint32_t cp); /* \w */

#endif
