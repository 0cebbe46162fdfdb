#include "tests/api/allocations.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

std::atomic<bool> counting{false}, fail_next{false};
std::atomic<int64_t> ours{0}, inside_libraries{0};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {

void* allocate(std::size_t size, std::size_t alignment, const void* caller) {
  if (fail_next.exchange(false)) return nullptr;
  if (counting) {
    Dl_info info;
    const bool library = ::dladdr(caller, &info) != 0 && std::strstr(info.dli_fname, "libdnnl");
    ++(library ? inside_libraries : ours);
  }
  void* p = nullptr;
  return ::posix_memalign(&p, std::max(alignment, sizeof(void*)), std::max<std::size_t>(size, 1)) == 0 ? p : nullptr;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment, const void* caller) {
  void* p = allocate(size, alignment, caller);
  if (!p) throw std::bad_alloc();
  return p;
}

constexpr std::size_t kAny = alignof(std::max_align_t);

}  // namespace

#define CALLER __builtin_return_address(0)
void* operator new(std::size_t n) { return allocate_or_throw(n, kAny, CALLER); }
void* operator new[](std::size_t n) { return allocate_or_throw(n, kAny, CALLER); }
void* operator new(std::size_t n, std::align_val_t a) { return allocate_or_throw(n, std::size_t(a), CALLER); }
void* operator new[](std::size_t n, std::align_val_t a) { return allocate_or_throw(n, std::size_t(a), CALLER); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, kAny, CALLER); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, kAny, CALLER); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, std::size_t(a), CALLER);
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, std::size_t(a), CALLER);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
#endif
