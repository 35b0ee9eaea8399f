/* validate_encode.h: the second command of leat-validate. */
#ifndef LEAT_VALIDATE_ENCODE_H
#define LEAT_VALIDATE_ENCODE_H

#include "hosted/hosted.h"

extern const tools_command validate_encoders;

#endif
