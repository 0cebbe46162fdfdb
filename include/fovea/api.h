// What is exported from the shared libraries.
#pragma once

#include <fovea/version.h>

#if defined(_WIN32)
#error "fovea runs on Linux"
#endif
#define FOVEA_API __attribute__((visibility("default")))

namespace fovea {

// The library's own version, "0.1.0"; compare with FOVEA_VERSION_STRING, that of the headers.
FOVEA_API const char* library_version() noexcept;
// The commit it was built from, and the libraries below it ("oneDNN 2.6.3").
FOVEA_API const char* library_git_hash() noexcept;
FOVEA_API const char* library_dependencies() noexcept;

}  // namespace fovea

extern "C" FOVEA_API const char* fovea_version(void);  // for dlsym
