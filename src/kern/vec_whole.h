/* vec_whole.h: attention's vectors, of levels where they are those of everything else.
 */
#ifndef LEAT_VEC_WHOLE_H
#define LEAT_VEC_WHOLE_H

typedef vf vr;
#define VR_FLOATS 16
#define vr_set vf_set
#define vr_load vf_load
#define vr_load_f16 vf_load_f16
#define vr_store vf_store
#define vr_add vf_add
#define vr_fma vf_fma

#endif
