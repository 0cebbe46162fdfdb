// One warp's matrix products, and what brings their factors there: thin names for PTX of compute capability 8.0.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define FOVEA_PTX(...) asm volatile(__VA_ARGS__)
#define FOVEA_PURE_PTX(...) asm(__VA_ARGS__)  // nothing but its result
#else
#define FOVEA_PTX(...) __trap()  // rows refuse such a device
#define FOVEA_PURE_PTX(...) __trap()
#endif

namespace fovea::core::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Four matrices of 8 rows of 16 bytes: lane i names row i % 8 of matrix i / 8 and gets of each matrix the four bytes at
// row i / 4, column i % 4.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], uint32_t row) {
  FOVEA_PTX("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
            : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
            : "r"(row));
}

// sum += a * b, 16x8: a has 16 rows of 32 bytes, b 8 columns of 32 bytes; with g = lane / 4 and t = lane % 4, of which
// a lane has the four bytes at t of rows g and g + 8 (first half, then second half), and those of column g (likewise),
// and the sums of row g, columns 2t and 2t + 1, then of row g + 8.
__device__ __forceinline__ void multiply_half(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  FOVEA_PTX(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void multiply_tf32(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  FOVEA_PTX(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ uint32_t to_tf32(float v) {
  uint32_t bits = 0;
  FOVEA_PTX("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(v));
  return bits;
}

// Four bytes on their way to shared memory, zeros where `inside` is false; they are there for this thread after
// wait_for_copies().
__device__ __forceinline__ void copy_4_async(uint32_t to, const void* from, bool inside) {
  FOVEA_PTX("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(inside ? 4 : 0) : "memory");
}
__device__ __forceinline__ void wait_for_copies() { FOVEA_PTX("cp.async.wait_all;" ::: "memory"); }

// The larger, the smaller; NaN if one of them is.
__device__ __forceinline__ float larger(float a, float b) {
  float r = a;
  FOVEA_PURE_PTX("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
__device__ __forceinline__ float smaller(float a, float b) {
  float r = a;
  FOVEA_PURE_PTX("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
__device__ __forceinline__ uint32_t larger_halves(uint32_t a, uint32_t b) {
  uint32_t r = a;
  FOVEA_PURE_PTX("max.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

__device__ __forceinline__ uint32_t smaller_halves(uint32_t a, uint32_t b) {
  uint32_t r = a;
  FOVEA_PURE_PTX("min.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

}  // namespace fovea::core::cuda

#undef FOVEA_PURE_PTX
#undef FOVEA_PTX
