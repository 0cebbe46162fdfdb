// Detector: an engine with its model card. Pictures in, boxes in their pixels out.
#pragma once

#include <fovea/engine.h>

namespace fovea {

// An upright picture, RGB, 8 bits, row-major [height, width, 3].
struct Picture {
  int64_t height = 0, width = 0;  // pixels
  std::vector<uint8_t> rgb;
};

// JPEG or PNG, decoded as OpenCV's imread does (EXIF orientation applied, alpha dropped). Throws InvalidArgument.
FOVEA_API Picture read_picture(const std::string& path);

struct Detected {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;  // pixels; the picture's top left corner is (0, 0)
  float score = 0;
  int64_t label = 0;  // index into class_name()
};

// One a caller, as a Context: a second call while one runs throws InvalidArgument.
class FOVEA_API Detector {
 public:
  explicit Detector(const Engine& engine);  // throws InvalidArgument if the engine holds no card
  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;
  ~Detector();

  // Throws InvalidArgument for a picture whose bytes are not height * width * 3 or that the network cannot take,
  // InvalidModel if the card does not fit what the network gives, System when out of memory.
  std::vector<Detected> detect(const Picture& picture);
  // Best first, for each picture; up to `batch` pictures in one run.
  std::vector<std::vector<Detected>> detect(std::span<const Picture> pictures, int64_t batch = 1);
  std::string class_name(int64_t label) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea
