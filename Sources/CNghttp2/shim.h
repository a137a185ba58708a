#ifndef CNGHTTP2_SHIM_H
#define CNGHTTP2_SHIM_H

// nghttp2 1.52 as the system has it.
#include <nghttp2/nghttp2.h>

// A union of a pointer and a file descriptor is awkward from Swift.
static inline nghttp2_data_provider CNghttp2_data_provider(
    void *source, nghttp2_data_source_read_callback read) {
    nghttp2_data_provider provider;
    provider.source.ptr = source;
    provider.read_callback = read;
    return provider;
}

static inline void *CNghttp2_source_pointer(nghttp2_data_source *source) { return source->ptr; }

#endif
