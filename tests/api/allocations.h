// What this program allocates by operator new, fovea's shared libraries included.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounting = false;  // the sanitizers bring operators of their own
#else
constexpr bool kCounting = true;
#endif

extern std::atomic<bool> counting, fail_next;        // fail_next: one allocation throws std::bad_alloc
extern std::atomic<int64_t> ours, inside_libraries;  // inside_libraries: asked for by oneDNN
