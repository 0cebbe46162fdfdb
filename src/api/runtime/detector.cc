#include <fovea/detector.h>

#include "api/bridge.h"
#include "api/runtime/engine_impl.h"
#include "picture/detector.h"

namespace fovea {

Picture read_picture(const std::string& path) {
  return edge([&]() -> Picture {
    core::Image image = take(core::read_image(path));
    return {image.height, image.width, std::move(image.rgb)};
  });
}

struct Detector::Impl {
  std::unique_ptr<core::Detector> detector;
  std::atomic_flag busy = ATOMIC_FLAG_INIT;
};

Detector::Detector(const Engine& engine) {
  edge([&] {
    impl_ = std::make_unique<Impl>();
    impl_->detector = take(core::Detector::make(opened(engine)));
  });
}
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;
Detector::~Detector() = default;

std::vector<Detected> Detector::detect(const Picture& picture) { return detect(std::span(&picture, 1)).front(); }

std::vector<std::vector<Detected>> Detector::detect(std::span<const Picture> pictures, int64_t batch) {
  return take_turn(impl_, "Detector", [&](Impl& impl) {
    std::vector<core::PictureView> views;
    for (const Picture& p : pictures) {
      const auto needed = core::element_count(std::array{p.height, p.width, int64_t{3}});
      if (p.height < 1 || p.width < 1 || !needed || static_cast<int64_t>(p.rgb.size()) != *needed)
        throw Error(ErrorCode::kInvalidArgument, fmt::format("a picture of {} x {} pixels needs {} bytes, found {}",
                                                             p.height, p.width, needed.value_or(-1), p.rgb.size()));
      views.emplace_back(p.height, p.width, p.rgb.data());
    }
    std::vector<std::vector<Detected>> out;
    for (const auto& list : take(impl.detector->detect(views, batch))) {
      out.emplace_back();
      for (const core::Detection& d : list) out.back().push_back({d.x0, d.y0, d.x1, d.y1, d.score, d.label});
    }
    return out;
  });
}

std::string Detector::class_name(int64_t label) const {
  return edge([&] { return core::class_name(present(impl_, "Detector").detector->card().classes, label); });
}

}  // namespace fovea
