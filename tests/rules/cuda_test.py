"""CUDA stays behind its seam: outside src/backends/cuda and src/kernels/cuda nothing includes its headers or calls its functions."""

import re

from sources import ROOT, code, cpp_files

INSIDE = ("src/backends/cuda/", "src/kernels/cuda/")
FOLDERS = [folder for folder in ("src", "include", "tools", "tests", "bench", "examples") if (ROOT / folder).is_dir()]
# Also cuda_runtime_api.h, cuda.h, cudnn_frontend.h, nvrtc.h, nvToolsExt.h, nvml.h, cub/ and the headers behind the seam.
HEADER = re.compile(r'^\s*#\s*include\s+["<]((?:[\w/]*/)?(?:cuda|cudnn|nvrtc|nvml|nvtx|nvTools|cublas|cutlass|cub/|cute/)[^">]*)[">]',
                    re.M | re.I)
# cudaMalloc, cuLaunchKernel, cudnnCreate, cublasLtMatmul, nvrtcCompileProgram, nvmlInit; types (cudaStream_t, CUstream),
# launches and device code too.
NAME = re.compile(
    r"\b(?:cuda[A-Z]\w*|cu[A-Z][a-z]\w*\s*\(|CU[a-z]\w*|cudnn[A-Z_]\w*|cublas[A-Z_]\w*|nvrtc[A-Z]\w*|nvml[A-Z]\w*|nvtx[A-Z]\w*)"
    r"|<<<|\b__(?:global|device|shared|constant|launch_bounds)__"
)
# What somebody would open at run time: "libcuda.so.1", "libcudnn.so.9"; in strings. libfovea_cuda.so is the backend's own name.
LIBRARY = re.compile(r"\blib(?:cuda|cudnn|cublas|nvrtc|nvidia|nvml|nvToolsExt)\w*(?:-\w+)?\.so")


def outside():
    return [path for path in cpp_files(*FOLDERS, tests=True) if not str(path).startswith(INSIDE)]


def test_nobody_else_includes_cuda():
    offences = [f"{path}: {match}" for path in outside() for match in HEADER.findall((ROOT / path).read_text())]
    assert not offences, "\n".join(offences)


def test_nobody_else_calls_cuda():
    offences = [
        f"{path}:{number}: {match.group(0)}"
        for path in outside()
        for number, line in enumerate(code(path).splitlines(), 1)
        if (match := NAME.search(line))
    ]
    assert not offences, "\n".join(offences)


def test_nobody_else_opens_its_libraries():
    offences = [f"{path}: {match}" for path in outside() for match in LIBRARY.findall((ROOT / path).read_text())]
    assert not offences, "\n".join(offences)


def test_the_build_knows_it_in_one_place():
    """cmake/cuda.cmake; elsewhere only the option's name."""
    files = [ROOT / "CMakeLists.txt", *(ROOT / "cmake").glob("*"), ROOT / "tests/CMakeLists.txt", ROOT / "bench/CMakeLists.txt"]
    offences = [f"{path.relative_to(ROOT)}: {match}" for path in files if path.is_file() and path.name != "cuda.cmake"
                for match in re.findall(r"CUDAToolkit|CUDA::\w+|CMAKE_CUDA\w*|enable_language\(CUDA\)", path.read_text())]
    assert not offences, "\n".join(offences)


def test_the_rule_sees_what_it_forbids():
    for line in ("#include <cuda_runtime_api.h>", '#include "backends/cuda/cuda.h"', "#include <cudnn.h>", "#include <nvrtc.h>"):
        assert HEADER.search(line), line
    for line in ("cudaMalloc(&p, 4);", "cudnnCreate(&h);", "nvrtcCompileProgram(p, 0, 0);", "cuLaunchKernel(k);", "CUstream s;", "k<<<1, 1>>>();",
                 "cublasCreate(&h);", "cublasLtHandle_t h;", "__device__ float f();", "__shared__ int s[4];"):
        assert NAME.search(line), line
    for line in ('dlopen("libcuda.so.1", 2);', '"libcudnn.so.9"', '"/usr/lib/libnvidia-ml.so.1"', '"libnvrtc.so.13"', '"libcublasLt.so.13"'):
        assert LIBRARY.search(line), line
    for line in ('"libfovea_cuda.so"', '"libcustom.so"', "libcuda"):
        assert not LIBRARY.search(line), line
    for line in ("open_device(name);", "cumulative(x);", "CUT_OFF + 1;", "cpu_target();", "curve(x); cuts(y);"):
        assert not NAME.search(line), line
