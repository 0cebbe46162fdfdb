# Sourced by ./run: folders that are copied to a machine without a compiler, and run there from wherever they lie.

# Tests that show something on the machine that they are copied to, and need no file of this repository but models.
bundled_tests=(cuda_test device_test kernels_test plan_test runtime_test)

# Shared libraries that FILEs need, for copying; not those of libc and of the driver, which are the machine's own.
needed_libraries() {
  ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
    grep -Ev '/(ld-linux[^/]*|libc|libm|libdl|libpthread|librt|libcuda|libnvidia-[^/]*)\.so[^/]*$'
}

bundle() { # bundle BUILD OUT
  local build=$1 out=$2 file library name
  rm -rf "$out"
  mkdir -p "$out/bin" "$out/lib"
  cp "$build/bin/fovea" "$out/bin"
  for name in "${bundled_tests[@]}"; do cp "$build/bin/$name" "$out/bin"; done
  for file in "$build"/bin/*_bench; do
    if [ -e "$file" ]; then cp "$file" "$out/bin"; fi
  done
  # Under the names that programs look for.
  for library in libfovea_cuda libfovea_fake libfovea_runtime libfovea; do
    file=$build/lib/$library.so
    [ -e "$file" ] || continue
    name=$(patchelf --print-soname "$file")
    cp -L "$file" "$out/lib/${name:-$library.so}"
  done
  needed_libraries "$out"/bin/* "$out"/lib/* | while read -r library; do
    if [ ! -e "$out/lib/$(basename "$library")" ]; then cp -L "$library" "$out/lib"; fi
  done
  chmod -R u+w "$out"
  strip --strip-unneeded "$out"/bin/* "$out"/lib/*
  for file in "$out"/bin/*; do patchelf --set-rpath '$ORIGIN/../lib' "$file"; done
  for file in "$out"/lib/*; do patchelf --set-rpath '$ORIGIN' "$file"; done
  for file in build/cuda/*/LICENSE; do  # of headers that are compiled in
    name=${file%/LICENSE}
    if [ -e "$file" ]; then install -D -m 644 "$file" "$out/licences/${name##*/}.txt"; fi
  done
  bundle_readme >"$out/README.md"
  tar -C "$out" -czf "$out.tar.gz" .  # a third of the size, for copying
  du -shc "$out"/{bin,lib} | sed 's/total$/together/'
  du -sh "$out.tar.gz"
}

bundle_readme() {
  cat <<'TEXT'
# fovea, to run where it lies

| folder | what |
|---|---|
| `bin/` | the command line `fovea`; tests: `cuda_test` (kernels), `device_test` (whole networks) and others; benchmarks: `cuda_bench` (kernels of the GPU), `rows_bench` (of the processor) |
| `lib/` | fovea's libraries, the CUDA backend among them, and what they need |
| `licences/` | those of header libraries that are compiled in |

It needs x86-64 Linux with glibc 2.36 or newer. For `--device cuda:0` it also needs NVIDIA's driver, and cuDNN and NVRTC:
either where the system's loader finds them, or in a folder that FOVEA_CUDA_LIBRARIES names. With NVIDIA's Python packages
that is the folder `nvidia` in site-packages:

    export FOVEA_CUDA_LIBRARIES=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])')
    bin/cuda_test --gtest_brief=1
    FOVEA_TEST_DEVICE=cuda:0 FOVEA_TEST_MODELS=models bin/device_test --gtest_brief=1
    bin/cuda_bench
    bin/fovea compile models/small_ssd/small_ssd.onnx -o small_ssd.fov --card models/small_ssd/card.toml --device cuda:0 --shapes n=8
    bin/fovea run small_ssd.fov models/small_ssd/pictures --device cuda:0 --batch 8

`models` is what `./run bundle --models` makes. Without `--device` everything runs on the CPU. `cuda_bench` times the layers of
SSD300 at batch 64, with `--all` also the cases of its test; `--benchmark_filter=REGEX` picks some.
TEXT
}

bundle_models() { # bundle_models OUT [PATH...]
  local out=$1 path
  shift
  rm -rf "$out"
  mkdir -p "$out/small_ssd"
  cp -r models/small_ssd/{small_ssd.onnx,card.toml,anchors.npy,labels.json,pictures} "$out/small_ssd"
  for path in "$@"; do cp -rL "$path" "$out"; done
  du -sh "$out"
}
