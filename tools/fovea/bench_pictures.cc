// bench --memory pictures: from the bytes of pictures to boxes.
#include <cstring>
#include <random>

#include "bench_caller.h"
#include "kernels/reference/reference.h"
#include "picture/inputs.h"

namespace fovea::core::tool {
namespace {

// Of a folder, from the `seed`th batch on, over again where they do not suffice.
Result<std::vector<Image>> read_pictures(const std::string& folder, int64_t batch, unsigned seed) {
  FOVEA_TRY_SET(const auto paths, picture_files({folder}));
  const size_t first = static_cast<size_t>(batch) * (seed - 1);
  std::vector<Image> images;
  for (size_t i = 0; i < static_cast<size_t>(batch); ++i) {
    FOVEA_TRY_SET(images.emplace_back(), read_image(paths[(first + i) % paths.size()]));
  }
  return images;
}

class PictureCaller final : public Caller {
 public:
  Status set_up(std::shared_ptr<LoadedEngine> engine, const RunSizes& sizes, const std::string& folder, unsigned seed) {
    FOVEA_TRY_SET(detector_, Detector::make(engine));
    if (folder.empty()) {
      make_up(engine->main().graph(), sizes, seed);
    } else {
      FOVEA_TRY_SET(images_, read_pictures(folder, sizes.batch, seed));
    }
    for (const Image& image : images_) pictures_.emplace_back(image);
    if (engine->device()) FOVEA_TRY(pin(*engine->device()));
    const size_t length = detector_->run_length(pictures_, sizes.batch);
    if (length == pictures_.size()) return {};
    const auto shape = [&](size_t i) { return fmt::format("{} x {}", pictures_[i].height, pictures_[i].width); };
    return invalid_argument(
        "--pictures {}: a run takes pictures that give the network's input one size; {} pixels are not resized as {} "
        "are: give pictures of one size, or --batch 1",
        folder, shape(length), shape(0));
  }

  Status once() override {
    FOVEA_TRY(detector_->enqueue(pictures_));
    FOVEA_TRY_SET(found_, detector_->collect());
    return {};
  }

  Status check() override {
    if (first_.empty()) first_ = found_;
    for (size_t i = 0; i < found_.size(); ++i)
      if (found_[i] != first_[i])
        return internal_error(
            "the boxes of picture {} of {} are not the same in every run: {} objects, {} in the first", i + 1,
            found_.size(), found_[i].size(), first_[i].size());
    return {};
  }

  const Executor& executor() const override { return detector_->network(); }
  Status observed(int, const StepObserver&) override {
    return internal_error("steps are observed on tensors, not on pictures");
  }

 private:
  void make_up(const Graph& graph, const RunSizes& sizes, unsigned seed) {
    const PictureCard& card = sizes.card->picture;
    const PictureAxes axes = picture_axes(card.layout);
    std::mt19937 rng(seed);
    for (const Value* v : graph.inputs) {
      if (v->name != card.input) continue;
      const int64_t height = sizes.sizes.upper(v->shape[axes.height]), width = sizes.sizes.upper(v->shape[axes.width]);
      for (int64_t i = 0; i < sizes.batch; ++i) {
        Image& image = images_.emplace_back(Image{height, width, {}});
        image.rgb.resize(static_cast<size_t>(height * width * 3));
        for (uint8_t& byte : image.rgb) byte = static_cast<uint8_t>(rng());
      }
    }
  }

  Status pin(Device& device) {
    for (PictureView& p : pictures_) {
      FOVEA_TRY_SET(DeviceMemory memory, device.allocate(p.bytes(), DeviceMemory::Kind::kPinned));
      std::memcpy(memory.data(), p.rgb, static_cast<size_t>(p.bytes()));
      p.rgb = reinterpret_cast<const uint8_t*>(memory.data());
      pinned_.push_back(std::move(memory));
    }
    images_.clear();
    return {};
  }

  std::vector<Image> images_;
  std::vector<DeviceMemory> pinned_;
  std::vector<PictureView> pictures_;
  std::unique_ptr<Detector> detector_;  // before what it may still read is freed
  std::vector<std::vector<Detection>> found_, first_;
};

}  // namespace

Status fill_with_pictures(LoadedEngine& engine, const RunSizes& sizes, const std::string& folder, unsigned seed,
                          std::span<const std::shared_ptr<Tensor>> inputs) {
  const Graph& graph = engine.main().graph();
  size_t at = 0;
  while (sizes.card && at < graph.inputs.size() && graph.inputs[at]->name != sizes.card->picture.input) ++at;
  if (!sizes.card || !engine.preprocess() || at == graph.inputs.size())
    return invalid_argument("--pictures: the engine holds no model card, so it cannot take pictures");
  FOVEA_TRY_SET(const std::vector<Image> images, read_pictures(folder, sizes.batch, seed));
  Tensor& to = *inputs[at];
  const PlannedGraph& preprocess = *engine.preprocess();
  const Node& node = *preprocess.graph().nodes().front();
  Dims dims = to.dims();
  const bool batched = node.output()->shape.size() == dims.size() && dims[0] == sizes.batch;
  if (batched) dims[0] = 1;
  else if (node.output()->shape.size() + 1 == dims.size()) dims.erase(dims.begin());
  const int64_t bytes = dtype_bytes(to.dtype(), element_count(dims).value_or(0)).value_or(0);
  Scratch scratch;
  for (size_t i = 0; i < images.size(); ++i) {
    const Image& image = images[i];
    const TensorRef in = TensorRef::dense_of(DType::kUInt8, std::vector<int64_t>{image.height, image.width, 3},
                                             const_cast<uint8_t*>(image.rgb.data()));
    TensorRef out = TensorRef::dense_of(to.dtype(), dims, to.mutable_data() + static_cast<int64_t>(i) * bytes);
    KernelContext c;
    c.inputs = std::span(&in, 1), c.outputs = std::span(&out, 1), c.attributes = node.attrs.get(), c.scratch = &scratch;
    c.threads = engine.threads();
    FOVEA_TRY(find_reference("Preprocess")(c));
    scratch.reset();
  }
  return {};
}

Result<std::unique_ptr<Caller>> make_picture_caller(const std::shared_ptr<LoadedEngine>& engine, const RunSizes& sizes,
                                                    const std::string& folder, unsigned seed) {
  auto caller = std::make_unique<PictureCaller>();
  FOVEA_TRY(caller->set_up(engine, sizes, folder, seed));
  return std::unique_ptr<Caller>(std::move(caller));
}

}  // namespace fovea::core::tool
