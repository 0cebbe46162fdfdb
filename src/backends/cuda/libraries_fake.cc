// A library under one of NVIDIA's names that says what a test wants (libraries_test.cc): compiled once for each.
#include <cstddef>

extern "C" {

#ifdef FOVEA_FAKE_CUDNN
size_t cudnnGetVersion() { return FOVEA_FAKE_CUDNN; }
#endif

#ifdef FOVEA_FAKE_NVRTC  // 1: knows its architectures, and nobody may get further; 0: of a time before that
int nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 0, 0; }
int nvrtcCreateProgram() { __builtin_trap(); }
int nvrtcCompileProgram() { __builtin_trap(); }
int nvrtcGetCUBINSize() { __builtin_trap(); }
int nvrtcGetCUBIN() { __builtin_trap(); }
int nvrtcGetProgramLogSize() { __builtin_trap(); }
int nvrtcGetProgramLog() { __builtin_trap(); }
int nvrtcDestroyProgram() { __builtin_trap(); }
#if FOVEA_FAKE_NVRTC
int nvrtcGetNumSupportedArchs(int* count) { return *count = 2, 0; }
int nvrtcGetSupportedArchs(int* architectures) { return architectures[0] = 75, architectures[1] = 80, 0; }
#endif
#endif

}  // extern "C"
