#ifndef CNGHTTP2_SHIM_H
#define CNGHTTP2_SHIM_H

// nghttp2 1.52 as the system has it.
#include <nghttp2/nghttp2.h>

#endif
