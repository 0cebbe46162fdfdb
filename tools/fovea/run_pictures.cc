#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "base/file.h"
#include "base/parallel.h"
#include "detect_pictures.h"
#include "eval/results.h"
#include "picture/draw.h"
#include "run.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

struct Picture {
  std::string path, name;  // name: without folders
  int64_t id = 0;          // COCO's image_id
  std::string drawn{};     // where it goes with boxes on it; empty: nowhere
};

// The id by name where the labels know the name, else by the number in it.
Status identify(std::vector<Picture>& pictures, const CocoLabels* labels, const std::string& labels_path) {
  std::set<int64_t> known;
  std::map<std::string, int64_t, std::less<>> by_name;
  if (labels)
    for (const CocoImage& image : labels->images) {
      known.insert(image.id);
      if (!image.file_name.empty()) by_name.emplace(image.file_name, image.id);
    }
  for (size_t i = 0; i < pictures.size(); ++i) {
    Picture& p = pictures[i];
    p.id = labelled_id(by_name, p.path).value_or(image_id_of(p.path, static_cast<int64_t>(i)));
    if (labels && !known.contains(p.id))
      return invalid_argument("{}: {} has no picture of this name, and none of image_id {}", p.path, labels_path, p.id);
  }
  return {};
}

void warn_of_equal_ids(const std::vector<Picture>& pictures, const LogSink& log) {
  std::map<int64_t, const Picture*> seen;
  for (const Picture& p : pictures)
    if (const auto [it, fresh] = seen.emplace(p.id, &p); !fresh)
      return log(LogLevel::kWarning,
                 fmt::format("image_id {} stands for several pictures: {} and {}", p.id, it->second->path, p.path));
}

// Two pictures of one name must not overwrite each other where they are drawn, and none may overwrite what was given.
Status name_drawings(std::vector<Picture>& pictures, const std::string& folder) {
  using FileId = std::pair<dev_t, ino_t>;
  auto file_id = [](const std::string& path) {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 ? std::optional<FileId>({st.st_dev, st.st_ino}) : std::nullopt;
  };
  std::map<FileId, const Picture*> given;
  for (const Picture& p : pictures)
    if (const auto id = file_id(p.path)) given.emplace(*id, &p);
  std::set<std::string> used;
  for (Picture& p : pictures) {
    p.drawn = folder + "/" + unused_name(p.name, used);
    const auto id = file_id(p.drawn);
    if (const auto it = id ? given.find(*id) : given.end(); it != given.end())
      return invalid_argument("--draw {}: would overwrite the picture {}: give another folder", folder,
                              it->second->path);
  }
  return {};
}

void print_table(std::span<const PictureDetections> results, std::span<const double> ms, const RunOptions& o,
                 const ClassesCard& classes) {
  size_t width = 7;
  for (const PictureDetections& p : results) width = std::max(width, p.file_name.size());
  const int w = static_cast<int>(width);
  std::printf("%-*s  objects      ms  best first, above %.2f\n", w, "picture", o.min_score);
  for (size_t i = 0; i < results.size(); ++i) {
    std::string names;
    int objects = 0;
    for (const Detection& d : results[i].detections) {
      if (d.score < o.min_score) continue;
      if (++objects <= 5)
        names += fmt::format("{}{} {:.2f}", objects > 1 ? ", " : "", class_name(classes, d.label), d.score);
      else if (objects == 6) names += ", ...";
    }
    std::printf("%-*s  %7d  %6.1f  %s\n", w, results[i].file_name.c_str(), objects, ms[i], names.c_str());
  }
}

Status draw(const RunOptions& o, Image image, const Picture& picture, const PictureDetections& result,
            const ClassesCard& classes) {
  std::vector<Detection> shown;
  for (const Detection& d : result.detections)
    if (d.score >= o.min_score) shown.push_back(d);
  FOVEA_TRY(draw_detections(image, shown, classes));
  return write_image(picture.drawn, image,
                     lower_extension(picture.path) == ".png" ? PictureFormat::kPng : PictureFormat::kJpeg);
}

bool on_device(const Engines& engines) {
  return std::ranges::any_of(engines, [](const auto& e) { return e->device(); });
}

// A GPU has several batches in flight: while one is copied and run, the next is made ready and the last one's boxes are
// read. More than there are batches would only take memory.
Result<std::vector<std::unique_ptr<Detector>>> make_detectors(const RunOptions& o, const Engines& engines,
                                                              size_t pictures) {
  constexpr int kInFlight = 3;
  if (o.contexts > 0 && !on_device(engines))
    return invalid_argument("--contexts: means nothing on the CPU; name a device with --device");
  const size_t batches = (pictures + static_cast<size_t>(o.batch) - 1) / static_cast<size_t>(o.batch);
  const auto in_flight = std::min(static_cast<size_t>(o.contexts > 0 ? o.contexts : kInFlight), batches);
  std::vector<std::unique_ptr<Detector>> detectors;
  for (size_t i = 0; i < std::max<size_t>(in_flight, 1); ++i)  // the first of each engine first
    for (const auto& engine : engines) {
      if (i > 0 && !engine->device()) continue;
      FOVEA_TRY_SET(auto detector, Detector::make(engine));
      detector->check_finite = o.check;
      detector->sleeps = in_flight > 1;  // the others keep the device busy meanwhile; who decodes needs the core
      detectors.push_back(std::move(detector));
    }
  return detectors;
}

// A GPU's share of the cores decodes and draws for it. On the CPU the network has them: one thread decodes and draws,
// ahead of the network only if that leaves a core.
DetectJob plan_work(const RunOptions& o, const Engines& engines, std::span<const std::unique_ptr<Detector>> detectors) {
  DetectJob job;
  job.detectors = detectors, job.draws = !o.draw.empty();
  job.batch = static_cast<size_t>(std::clamp<int64_t>(o.batch, 1, detectors[0]->max_batch()));
  int threads = 0, busy = 0;
  for (const auto& engine : engines) (engine->device() ? threads : busy) += engine->threads();
  job.threads = std::max(threads, 1);
  if (threads > 0) job.ahead = engines.size() * job.batch + 2 * static_cast<size_t>(threads);
  else job.ahead = busy < hardware_threads() ? job.batch : 0;
  return job;
}

// Pictures that were not run do not count as missed.
Status print_precision(CocoLabels labels, std::span<const PictureDetections> results, const ClassesCard& classes,
                       const std::string& path) {
  std::set<int64_t> ids;
  for (const PictureDetections& p : results) ids.insert(p.image_id);
  const size_t labelled = labels.images.size();
  std::erase_if(labels.images, [&](const CocoImage& image) { return !ids.contains(image.id); });
  FOVEA_TRY_SET(CocoResult r, evaluate(labels, to_coco(results, classes)));
  std::printf("mAP@[.5:.95] %.4f  AP50 %.4f  AP75 %.4f  (%zu of %zu labelled pictures, labels of %s)\n", r.ap, r.ap50,
              r.ap75, labels.images.size(), labelled, path.c_str());
  return {};
}

}  // namespace

Status run_pictures(const RunOptions& o) {
  // What can be wrong is looked at before the long work.
  FOVEA_TRY_SET(std::vector<std::string> paths, picture_files(o.pictures));
  std::vector<Picture> pictures;
  pictures.reserve(paths.size());
  for (const std::string& path : paths)
    pictures.push_back({.path = path, .name = std::filesystem::path(path).filename().string()});
  std::optional<CocoLabels> labels;
  if (!o.labels.empty()) {
    FOVEA_TRY_SET(labels, read_coco_labels(o.labels));
  }
  FOVEA_TRY(identify(pictures, labels ? &*labels : nullptr, o.labels));
  if (labels || !o.json.empty()) warn_of_equal_ids(pictures, stderr_log(o.verbose));
  if (!o.draw.empty()) FOVEA_TRY(name_drawings(pictures, o.draw));
  if (!o.json.empty()) FOVEA_TRY(check_writable(o.json));
  FOVEA_TRY_SET(const Engines engines, open_engines(o.engine, o.device, o.threads, o.verbose));
  FOVEA_TRY_SET(const auto detectors, make_detectors(o, engines, pictures.size()));
  if (!o.draw.empty()) FOVEA_TRY(make_folder(o.draw));

  const ClassesCard& classes = detectors[0]->card().classes;
  std::vector<PictureDetections> results(pictures.size());
  std::vector<double> ms(pictures.size());
  DetectJob job = plan_work(o, engines, detectors);
  job.paths = paths;
  job.found = [&](size_t i, std::vector<Detection> found, double took) {
    results[i] = {pictures[i].name, pictures[i].id, std::move(found)};
    ms[i] = took;
  };
  job.draw = [&](size_t i, Image image) { return draw(o, std::move(image), pictures[i], results[i], classes); };
  const double begin = now_ms();
  FOVEA_TRY_SET(const double waited, detect_pictures(job));
  const double seconds = (now_ms() - begin) / 1e3;
  Progress::clear();
  print_table(results, ms, o, classes);
  if (pictures.size() > 1)  // from files to boxes; the first runs make ready for their sizes
    std::printf(
        "%zu pictures in %.2f s: %.1f a second%s\n", pictures.size(), seconds,
        static_cast<double>(pictures.size()) / seconds,
        on_device(engines) ? fmt::format(" (waiting for decoded pictures: {:.0f} %)", 100 * waited).c_str() : "");
  if (!o.json.empty()) FOVEA_TRY(write_file(o.json, detections_to_json(results, classes)));
  if (labels) FOVEA_TRY(print_precision(*std::move(labels), results, classes, o.labels));
  return {};
}

}  // namespace fovea::core::tool
