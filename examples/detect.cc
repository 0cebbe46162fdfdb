// Compiles a model with its card, if there is no engine yet, and prints what it finds in pictures.
//
//   detect MODEL.onnx CARD.toml ENGINE.fov PICTURE...
#include <fovea/compile.h>
#include <fovea/detector.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("fovea %s (%s), %s\n", fovea::library_version(), fovea::library_git_hash(),
                fovea::library_dependencies());
    return std::strcmp(fovea::library_version(), FOVEA_VERSION_STRING) == 0 ? 0 : 1;
  }
  if (argc < 5) {
    std::fprintf(stderr, "usage: detect MODEL.onnx CARD.toml ENGINE.fov PICTURE...\n");
    return 2;
  }
  try {
    if (!std::filesystem::exists(argv[3])) {
      fovea::CompileOptions options;
      options.card = argv[2];
      fovea::compile(argv[1], argv[3], options);
    }
    const fovea::Engine engine = fovea::Engine::open(argv[3]);
    fovea::Detector detector(engine);
    for (int i = 4; i < argc; ++i) {
      std::printf("%s\n", argv[i]);
      for (const fovea::Detected& d : detector.detect(fovea::read_picture(argv[i])))
        std::printf("  %-12s %.2f  %.1f %.1f %.1f %.1f\n", detector.class_name(d.label).c_str(), d.score, d.x0, d.y0,
                    d.x1, d.y1);
    }
  } catch (const fovea::Error& e) {
    std::fprintf(stderr, "detect: %s\n", e.what());
    return static_cast<int>(e.code());
  }
}
