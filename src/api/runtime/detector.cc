#include <fovea/detector.h>

#include "api/bridge.h"
#include "api/runtime/engine_impl.h"
#include "picture/detector.h"

namespace fovea {

Picture read_picture(const std::string& path) {
  core::Image image = take(core::read_image(path));
  return {image.height, image.width, std::move(image.rgb)};
}

struct Detector::Impl {
  std::unique_ptr<core::Detector> detector;
};

Detector::Detector(const Engine& engine) : impl_(std::make_unique<Impl>()) {
  impl_->detector = take(core::Detector::make(engine.impl()->engine));
}
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;
Detector::~Detector() = default;

std::vector<Detected> Detector::detect(const Picture& picture) { return detect(std::span(&picture, 1)).front(); }

std::vector<std::vector<Detected>> Detector::detect(std::span<const Picture> pictures, int64_t batch) {
  std::vector<core::Image> images;
  std::vector<const core::Image*> pointers;
  for (const Picture& p : pictures) {
    if (p.height < 1 || p.width < 1 || static_cast<int64_t>(p.rgb.size()) != p.height * p.width * 3)
      throw Error(ErrorCode::kInvalidArgument, fmt::format("a picture of {} x {} pixels needs {} bytes, found {}",
                                                           p.height, p.width, p.height * p.width * 3, p.rgb.size()));
    images.push_back({p.height, p.width, p.rgb});
  }
  for (const core::Image& i : images) pointers.push_back(&i);
  std::vector<std::vector<Detected>> out;
  for (const auto& list : take(impl_->detector->detect(pointers, batch))) {
    out.emplace_back();
    for (const core::Detection& d : list) out.back().push_back({d.x0, d.y0, d.x1, d.y1, d.score, d.label});
  }
  return out;
}

std::string Detector::class_name(int64_t label) const {
  return core::class_name(impl_->detector->card().classes, label);
}

}  // namespace fovea
